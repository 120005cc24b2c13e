// Drives the vendor's client, unmodified: one JSON command per line on stdin, one JSON answer per line on stdout.
//
// A command is [action, ...arguments]; the answer is {"value": …}, or {"error": the text the client threw}.
// Nothing here checks, repeats or repairs anything: what is answered is what the client did.

import { createInterface } from "node:readline";
import vendor from "@mindconnect/mindconnect-nodejs";

// Is handed a token of ours where the client would ask for one. How it is checked is the client's own code.
class Handed extends vendor.TokenManagerAuth {
  constructor(credentials, token) {
    const { gateway, basicAuth, tenant, usertenant, appName, appVersion } = credentials;
    super(gateway, basicAuth, tenant, usertenant, appName, appVersion);
    this._handed = token;
  }

  async AcquireToken() {
    this._accessToken = { access_token: this._handed };
    return true;
  }
}

const clients = new Map();

const actions = {
  open: (name, credentials) => void clients.set(name, new vendor.MindSphereSdk(credentials)),
  token: (name) => clients.get(name).GetToken(),
  broker: (name, method, ...parts) => clients.get(name).GetMessageBrokerClient()[method](...parts),
  get: async (name, path) => {
    const client = clients.get(name);
    const authorization = await client.GetToken();
    return client.HttpAction({ verb: "GET", gateway: client.GetGateway(), authorization, baseUrl: path });
  },
  check: (credentials, token) => new Handed(credentials, token).GetToken(),
};

async function answer(line) {
  const [action, ...parts] = JSON.parse(line);
  try {
    return { value: (await actions[action](...parts)) ?? null };
  } catch (error) {
    return { error: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(line)));
}
