// Pictures of the page, to look at:
//
//     node tests/web/screenshots.mjs FOLDER
//
// Each at phone and desktop width, in light and dark; after every part has run.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { root, start, written } from "./browser.mjs";

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error("Usage: node tests/web/screenshots.mjs FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

/** Runs every part of the page, or shows the part's trouble. */
const scenes = {
  async done(page) {
    await page.click("#examine-go");
    await page.click("#shipped");
    await page.waitForSelector("#run-verdict");
    await page.waitForSelector("a[download='bench.json']");
  },
  async bad(page) {
    await page.setInputFiles("#weights", join(root, "LICENSE-MIT"));
    await page.waitForSelector("#file-error .notice");
    await page.click(".panel.gpu >> text=Lose the device");
    await page.click("#go");
    await page.waitForSelector("text=Open it again");
  },
  async opening() {},
};

async function shoot(browser, name, path, scene) {
  const page = await browser.open(path);
  if (name !== "opening") await written(page);
  await scene(page);
  for (const width of [360, 1280]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`),
        fullPage: true });
    }
  }
  if (page.faults.length) console.error(name, page.faults);
  await page.context().close();
}

const browser = await start();
const without = await start({ webgpu: false });
try {
  await shoot(browser, "opening", "/", scenes.opening);
  await shoot(browser, "done", "/?seconds=0.3", scenes.done);
  await shoot(browser, "bad", "/?test", scenes.bad);
  await shoot(without, "cpu", "/", scenes.done);
} finally {
  await browser.close();
  await without.close();
}
