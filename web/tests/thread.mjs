// worker.js in a thread of Node, with the names that workers have in browsers.

import { parentPort, workerData } from "node:worker_threads";

globalThis.self = {
  postMessage: (message, transfer) => parentPort.postMessage(message, transfer),
};
await import(workerData);
parentPort.on("message", (data) => self.onmessage({ data }));
