// A headless Chromium with one page, spoken to in its DevTools protocol over a pair of pipes: messages end with a zero byte.
const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

class Browser {
  static async start(program) {
    const browser = new Browser();
    browser.profile = fs.mkdtempSync(path.join(os.tmpdir(), 'streamgauge-browser-'));
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-pipe',
      '--no-first-run', '--disable-background-networking', '--disable-component-update', '--hide-scrollbars',
      '--disable-background-timer-throttling', '--disable-renderer-backgrounding', `--user-data-dir=${browser.profile}`];
    browser.child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    browser.child.setMaxListeners(0);
    browser.waiting = new Map();
    browser.number = 0;
    browser.listen();
    const { targetId } = await browser.call('Target.createTarget', { url: 'about:blank' });
    browser.session = (await browser.call('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    await browser.call('Page.enable');
    await browser.call('Page.bringToFront');
    return browser;
  }

  listen() {
    let rest = '';
    this.child.stdio[4].on('data', (bytes) => {
      const parts = (rest + bytes).split('\0');
      rest = parts.pop();
      for (const part of parts) {
        const answer = JSON.parse(part);
        this.waiting.get(answer.id)?.(answer);
        this.waiting.delete(answer.id);
      }
    });
  }

  async call(method, params = {}) {
    const id = ++this.number;
    const answer = await new Promise((resolve, reject) => {
      this.waiting.set(id, resolve);
      this.child.once('exit', () => reject(new Error('the browser has ended')));
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    });
    if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result;
  }

  // What an expression is on the page; a promise is waited for.
  async eval(expression) {
    const answer = await this.call('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails.exception?.description ?? answer));
    return answer.result.value;
  }

  // Opens a page and waits until an expression is true there.
  async open(url, ready) {
    await this.call('Page.navigate', { url });
    for (let tries = 0; !(await this.eval(`document.readyState === "complete" && !!(${ready})`)); tries++) {
      if (tries > 1200) throw new Error(`${url} does not load`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  screen(width, height) {
    return this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  async picture(options = {}) {
    return Buffer.from((await this.call('Page.captureScreenshot', { format: 'png', ...options })).data, 'base64');
  }

  async end() {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await gone;
    fs.rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

module.exports = { Browser };
