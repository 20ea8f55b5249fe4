// render.cjs DASHBOARDS URL OUT [--seconds N] [--theme light|dark] [--may-be-empty FILE]
// Draws each dashboard from the Prometheus at URL into OUT/NAME-THEME.png, and says of each panel what is wrong with it.
const fs = require('fs');
const os = require('os');
const path = require('path');
const { Browser } = require('./browser.cjs');

const WIDTH = 1440;
const [folder, url, out, ...options] = process.argv.slice(2);

function option(name, otherwise) {
  const at = options.indexOf(`--${name}`);
  return at < 0 ? otherwise : options[at + 1];
}

async function bundle(home) {
  const modules = process.env.NODE_PATH;
  await require('esbuild').build({
    entryPoints: [path.join(__dirname, 'page.jsx')],
    outfile: path.join(home, 'page.js'),
    bundle: true,
    nodePaths: [modules],
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    loader: { '.svg': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
    logLevel: 'error',
  });
  const head = '<!doctype html><meta charset=utf-8><link rel=stylesheet href=page.css>';
  fs.writeFileSync(path.join(home, 'page.html'), `${head}<body><div id=root></div><script src=page.js></script>`);
}

function dashboards() {
  const files = fs.readdirSync(folder).filter((file) => file.endsWith('.json')).sort();
  return files.map((file) => [path.basename(file, '.json'), JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8'))]);
}

// Grafana's data source says how often it scrapes; what its provisioning file says is what `$__rate_interval` is made of.
function scrapeInterval() {
  const at = path.join(folder, '../provisioning/datasources');
  const texts = fs.readdirSync(at).map((file) => fs.readFileSync(path.join(at, file), 'utf8'));
  return texts.join('\n').match(/timeInterval: (\S+)/)[1];
}

async function main() {
  const to = Date.now();
  const from = to - 1000 * Number(option('seconds', '900'));
  const themes = [option('theme')].filter(Boolean);
  const excused = option('may-be-empty') ? fs.readFileSync(option('may-be-empty'), 'utf8').split('\n') : [];
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'streamgauge-dashboards-'));
  fs.mkdirSync(out, { recursive: true });
  let browser;
  let drawn = 0;
  const wrong = [];
  try {
    await bundle(home);
    browser = await Browser.start(process.env.STREAMGAUGE_CHROMIUM);
    for (const [name, board] of dashboards()) {
      for (const theme of themes.length ? themes : ['light', 'dark']) {
        await browser.screen(WIDTH, 900);
        await browser.open(`file://${path.join(home, 'page.html')}`, 'window.draw');
        const scene = { board, url, from, to, theme, width: WIDTH, scrape: scrapeInterval() };
        const said = await browser.eval(`draw(${JSON.stringify(scene)})`);
        await browser.screen(WIDTH, said.height);
        fs.writeFileSync(path.join(out, `${name}-${theme}.png`), await browser.picture());
        for (const panel of said.panels) {
          drawn += 1;
          const at = `${name}: ${panel.title}`;
          for (const fault of panel.wrong) {
            if (!(fault === 'empty' && excused.includes(at))) wrong.push(`${at} (${theme}): ${fault}`);
          }
        }
      }
    }
  } finally {
    await browser?.end();
    fs.rmSync(home, { recursive: true, force: true });
  }
  wrong.forEach((fault) => console.error(fault));
  console.log(`${drawn} panels drawn, ${wrong.length} faults`);
  process.exitCode = wrong.length || !drawn ? 1 : 0;
}

main();
