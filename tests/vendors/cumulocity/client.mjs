// Drives the clients, unmodified: one JSON command per line on stdin, one JSON answer per line on stdout.
//
// A command is [action, ...arguments]; the answer is {"value": …}, or {"error": the text the client threw}.
// Nothing here checks, repeats or repairs anything: what is answered is what the clients did.

import { createInterface } from "node:readline";
import { BasicAuth, Client } from "@c8y/client";
import { createNotificationClient } from "c8y-realtime";
import { WebSocket } from "ws";

const clients = new Map();
const streams = new Map();

const actions = {
  // c8y-realtime
  open: (name, credentials) =>
    void clients.set(name, createNotificationClient({ ...credentials, webSocketImpl: WebSocket })),
  subscriptions: (name, method, ...parts) => clients.get(name).subscriptions[method](...parts),
  read: (name, subscription, options) =>
    void streams.set(name, clients.get(name).subscribe(subscription, options)[Symbol.asyncIterator]()),
  next: async (name) => {
    const { value } = await streams.get(name).next();
    return { description: value.description, action: value.action, payload: value.payload };
  },
  close: async (name) => {
    await clients.get(name).close();
    clients.delete(name);
  },

  // @c8y/client
  platform: (name, credentials) => {
    const { baseUrl, tenant, user, password } = credentials;
    clients.set(name, new Client(new BasicAuth({ tenant, user, password }), baseUrl));
  },
  call: async (name, service, method, ...parts) => (await clients.get(name)[service][method](...parts)).data,
};

async function answer(line) {
  const [action, ...parts] = JSON.parse(line);
  try {
    return { value: (await actions[action](...parts)) ?? null };
  } catch (error) {
    return { error: String(error?.message ?? error?.data?.message ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(line)));
}
