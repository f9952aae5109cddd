const { mkdirSync, writeFileSync } = require("node:fs");
const page = `web with is-number ${require("is-number/package.json").version}, ${require("ui")}`;
mkdirSync("dist", { recursive: true });
writeFileSync("dist/index.html", page);
