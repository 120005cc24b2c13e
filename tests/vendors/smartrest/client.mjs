// Drives the clients, unmodified: one JSON command per line on stdin, one JSON answer per line on stdout.
//
// A command is [action, ...arguments]; the answer is {"value": …}, or {"error": the text the client threw}. What a
// client hears is put on a list under its name, in order: ["message" | "handshake" | "connect" | "subscribe", …].
// Nothing here checks, repeats or repairs anything, but for what the vendor's client leaves to its caller: it
// subscribes again after a handshake that was not the first ("again").

import { createInterface } from "node:readline";
import { adapt } from "cometd-nodejs-client";
import { BasicAuth, FetchClient, Realtime } from "@c8y/client";

adapt();
const { CometD } = await import("cometd");
const { AckExtension } = await import("cometd/AckExtension.js");

const clients = new Map();
const heard = new Map();

function note(name, kind) {
  return (message) => heard.get(name).push([kind, message]);
}

const actions = {
  // cometd: it subscribes anew on every handshake, as its manual says
  cometd: (name, url, authorization, channels, reliable) => {
    const client = new CometD();
    client.unregisterTransport("websocket");
    client.configure({ url, requestHeaders: { Authorization: authorization }, logLevel: "error", backoffIncrement: 50 });
    if (reliable) client.registerExtension("ack", new AckExtension());
    heard.set(name, []);
    client.addListener("/meta/handshake", (message) => {
      note(name, "handshake")(message);
      if (message.successful) {
        client.batch(() => {
          for (const channel of channels) client.subscribe(channel, note(name, "message"), note(name, "subscribe"));
        });
      }
    });
    client.addListener("/meta/connect", note(name, "connect"));
    clients.set(name, client);
    client.handshake();
  },

  // @c8y/client
  c8y: (name, { baseUrl, tenant, user, password }, path, channels) => {
    const client = new Realtime(new FetchClient(new BasicAuth({ tenant, user, password }), baseUrl), path);
    heard.set(name, []);
    let handshakes = 0;
    const subscriptions = [];
    client.addHandshakeListener((message) => {
      note(name, "handshake")(message);
      if (message.successful && handshakes++ > 0) {
        for (const at of subscriptions.keys()) subscriptions[at] = client.resubscribe(subscriptions[at]);
      }
    });
    client.addConnectListener(note(name, "connect"));
    for (const channel of channels) subscriptions.push(client.subscribe(channel, note(name, "message")));
    clients.set(name, client);
  },

  heard: (name) => heard.get(name),
  disconnect: (name) => void clients.get(name).disconnect(),
};

async function answer(line) {
  const [action, ...parts] = JSON.parse(line);
  try {
    return { value: (await actions[action](...parts)) ?? null };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(line)));
}
