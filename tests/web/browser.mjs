// A server of the built page, and headless Chromium. Tests and screenshots share them.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** The page that `scripts/web build` makes. */
const site = process.env.WGPU_RNN_SITE ?? join(root, "target/web/site");

const chromium = process.env.WGPU_RNN_CHROMIUM ?? "/usr/bin/chromium";

/** WebGPU on SwiftShader, a software adapter, in a browser without a screen. */
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** A page without content, for programs that use the library. */
export const EMPTY = "/empty";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** The program or file that this machine lacks, in a sentence; null if the tests can run. */
function missing() {
  if (!existsSync(join(site, "index.html"))) return `${site} has no page: run scripts/web build`;
  if (!existsSync(chromium)) {
    return `${chromium} is missing: install Chromium, or set WGPU_RNN_CHROMIUM to a program`;
  }
  try {
    import.meta.resolve("playwright-core");
  } catch {
    return "playwright-core is missing: run npm ci in tests/web";
  }
  return null;
}

/** The option of `test()` that skips a test which cannot run, unless CI requires it. */
export const skip = process.env.WGPU_RNN_REQUIRE_ADAPTERS === "1" ? false : missing() ?? false;

/** Serves the page, and further folders by the first part of the path. */
async function serve(folders) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://page").pathname));
    if (path === EMPTY) {
      response.writeHead(200, { "content-type": TYPES[".html"] }).end("<!doctype html>");
      return;
    }
    const [, first, ...rest] = path.split("/");
    const named = folders[first];
    let file = named ? join(named, ...rest) : join(site, path);
    if (file.endsWith("/")) file += "index.html";
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "cache-control": "no-store" });
    createReadStream(file).pipe(response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

/**
 * Starts the server and the browser. `open(path, options)` opens a page whose `faults` collects
 * the errors of its console and of its scripts.
 */
export async function start({ webgpu = true, folders = {} } = {}) {
  const lacking = missing();
  if (lacking) throw new Error(lacking);
  const { chromium: driver } = await import("playwright-core");
  const server = await serve(folders);
  const browser = await driver.launch({
    executablePath: chromium,
    args: ["--no-sandbox", "--disable-quic", ...(webgpu ? WEBGPU : [])],
  });
  const address = `http://127.0.0.1:${server.address().port}`;
  return {
    address,
    async open(path, options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 },
        ...options });
      const page = await context.newPage();
      page.faults = [];
      page.on("console", (message) => {
        if (message.type() === "error") page.faults.push(message.text());
      });
      page.on("pageerror", (error) => page.faults.push(String(error)));
      // A busy machine builds pipelines for minutes. Tests assert on no time.
      page.setDefaultTimeout(300_000);
      await page.goto(path === "about:blank" ? path : address + path);
      return page;
    },
    async close() {
      await browser.close();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Waits until the page has written its first text on each device. */
export async function written(page) {
  await page.waitForFunction(() => !document.getElementById("go").disabled);
}
