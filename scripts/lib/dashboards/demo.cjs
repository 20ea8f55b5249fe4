// demo.cjs BINARY OUT: runs the demo and takes pictures of its page while it counts, OUT/NN.png.
const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const { Browser } = require('./browser.cjs');

const [binary, out] = process.argv.slice(2);
const SIZE = [960, 730];
const FRAMES = 16;
const LONGEST_MS = 90_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  // A rate that any machine keeps up with, so that the picture is of counting and not of catching up.
  const demo = spawn(binary, ['demo', '--rate', '2000', '--color', 'never'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let browser;
  try {
    const address = await new Promise((resolve, reject) => {
      let said = '';
      demo.stdout.on('data', (text) => {
        const found = (said += text).match(/page: +(\S+)/);
        if (found) resolve(found[1]);
      });
      demo.once('exit', () => reject(new Error(`the demo ended: ${said}`)));
    });
    browser = await Browser.start(process.env.STREAMGAUGE_CHROMIUM);
    await browser.screen(...SIZE);
    await browser.open(address, 'document.querySelector("#sign")?.dataset.state === "live"');
    // The first closed windows come after a minute or two.
    await sleep(Number(process.env.STREAMGAUGE_DEMO_WAIT_MS ?? 150_000));
    // A frame for each time that the page has changed.
    let before = '';
    const until = Date.now() + LONGEST_MS;
    for (let frame = 0; frame < FRAMES && Date.now() < until;) {
      const now = await browser.eval('document.querySelector("main").innerText');
      if (now === before) {
        await sleep(50);
        continue;
      }
      before = now;
      fs.writeFileSync(path.join(out, `${String(frame++).padStart(2, '0')}.png`), await browser.picture());
    }
  } finally {
    await browser?.end();
    demo.kill('SIGINT');
  }
}

main();
