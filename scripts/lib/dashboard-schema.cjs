// Holds Grafana dashboards to the types of @grafana/schema: dashboard-schema.cjs NODE_FOLDER DASHBOARD...
// The types are made into JSON schemas once (half a minute) and kept beside the packages. Unknown keys are errors.
const fs = require('fs');
const path = require('path');

const [home, ...files] = process.argv.slice(2);
const types = path.join(home, 'node_modules/@grafana/schema/dist/types/raw');

function schema(file, type) {
  const kept = path.join(home, 'schemas', `${file.replaceAll('/', '-')}-${type}.json`);
  if (!fs.existsSync(kept)) {
    const { createGenerator } = require('ts-json-schema-generator');
    const options = { path: path.join(types, file, 'types.gen.d.ts'), type, skipTypeCheck: true, additionalProperties: false };
    fs.mkdirSync(path.dirname(kept), { recursive: true });
    fs.writeFileSync(kept, JSON.stringify(createGenerator(options).createSchema(type)));
  }
  return JSON.parse(fs.readFileSync(kept, 'utf8'));
}

const Ajv = require('ajv');
const ajv = new Ajv({ strict: false, allErrors: true, verbose: true });
const compiled = new Map();
function errors(file, type, value) {
  const key = `${file} ${type}`;
  if (!compiled.has(key)) compiled.set(key, ajv.compile(schema(file, type)));
  const check = compiled.get(key);
  return check(value) ? [] : check.errors.map((e) => `${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`);
}

// Keys of an annotation that belong to its data source; the types know none of them.
const OF_PROMETHEUS = ['expr', 'step', 'titleFormat', 'textFormat', 'useValueForTime'];

let wrong = 0;
for (const file of files) {
  const board = JSON.parse(fs.readFileSync(file, 'utf8'));
  for (const annotation of board.annotations.list) OF_PROMETHEUS.forEach((key) => delete annotation[key]);
  const found = errors('dashboard/x', 'Dashboard', board);
  for (const panel of board.panels.filter((panel) => panel.type !== 'row')) {
    const at = (text) => `panel "${panel.title}": ${text}`;
    const config = `composable/${panel.type}/panelcfg/x`;
    if (!fs.existsSync(path.join(types, config))) {
      found.push(at(`no panel of type ${panel.type}`));
      continue;
    }
    found.push(...errors(config, 'Options', panel.options).map(at));
    const custom = panel.fieldConfig.defaults.custom;
    if (custom) found.push(...errors(config, 'FieldConfig', custom).map(at));
  }
  for (const error of found) console.error(`${file}: ${error}`);
  wrong += found.length;
}
if (!files.length) console.error('no dashboards');
process.exit(wrong || !files.length ? 1 : 0);
