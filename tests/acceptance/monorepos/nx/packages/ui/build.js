require("node:fs").writeFileSync("built.js", "module.exports = 'ui, built before'");
