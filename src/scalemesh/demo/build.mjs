// A build in thirty lines: templates in site/ become pages in dist/, the stylesheet gets its hash into its name.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const read = (name) => readFileSync(new URL(`site/${name}`, import.meta.url), "utf8");
const write = (name, text) => {
  writeFileSync(new URL(`dist/${name}`, import.meta.url), text);
  console.log(`dist/${name.padEnd(32)} ${String(Buffer.byteLength(text)).padStart(6)} bytes`);
};

rmSync(new URL("dist", import.meta.url), { recursive: true, force: true });
mkdirSync(new URL("dist/assets", import.meta.url), { recursive: true });

const css = read("style.css");
const stylesheet = `assets/style-${createHash("sha256").update(css).digest("hex").slice(0, 8)}.css`;
write(stylesheet, css);

const facts = {
  stylesheet,
  built: new Date().toISOString().replace("T", " ").slice(0, 16) + " UTC",
  node: process.version,
  commit: (process.env.SCALEMESH_GIT_COMMIT_SHA ?? "a folder").slice(0, 7),
  deployment: process.env.SCALEMESH_DEPLOYMENT_ID ?? "your own machine",
};
for (const page of ["index.html", "404.html"]) {
  write(page, read(page).replace(/\{\{ (\w+) \}\}/g, (_, name) => facts[name]));
}
write("favicon.svg", read("favicon.svg"));
