// A line of a build's output → pieces of text with classes from a fixed list. Nothing of it ever becomes markup.
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

// CSI … final byte | OSC … (BEL or ST) | other two-character escapes
const ESCAPE = /(?:\u001b\[|\u009b)([0-?]*)[ -/]*([@-~])|\u001b\].*?(?:\u0007|\u001b\\)|\u001b[@-Z\\^_=>NOc78]/g;

// C0 and C1 controls but tab, line separators, bidirectional controls, invisible formatting
const HIDDEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;
const SPLIT = new RegExp(`(${HIDDEN.source})`);

// The nearest of the eight names to one of the 256 colours, or to red, green and blue of 0 to 255.
function nearest(r, g, b) {
  const most = Math.max(r, g, b);
  if (most < 60) return "black";
  if (most - Math.min(r, g, b) < 40) return "white";
  const half = (most + Math.min(r, g, b)) / 2;
  return NAMES[(r > half ? 1 : 0) + (g > half ? 2 : 0) + (b > half ? 4 : 0)];
}

function indexed(n) {
  if (n < 16) return NAMES[n % 8];
  if (n >= 232) return n < 240 ? "black" : "white";
  const level = (v) => (v ? 55 + v * 40 : 0);
  const cube = n - 16;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

// 38 and 48 take their colour from what follows: `5;n` or `2;r;g;b`.
function extended(codes) {
  const kind = codes.shift();
  if (kind === 5) return indexed(Math.min(255, codes.shift() ?? 0));
  if (kind === 2) return nearest(codes.shift() ?? 0, codes.shift() ?? 0, codes.shift() ?? 0);
  return null;
}

const FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike" };
const UNFLAGS = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 29: ["strike"] };

function apply(style, parameters) {
  const codes = parameters.split(/[;:]/).map((each) => Number.parseInt(each || "0", 10) || 0);
  while (codes.length) {
    const code = codes.shift();
    if (code === 0) Object.assign(style, { fg: null, bg: null, flags: new Set() });
    else if (FLAGS[code]) style.flags.add(FLAGS[code]);
    else if (UNFLAGS[code]) for (const flag of UNFLAGS[code]) style.flags.delete(flag);
    else if (code === 38) style.fg = extended(codes);
    else if (code === 48) style.bg = extended(codes);
    else if (code === 39) style.fg = null;
    else if (code === 49) style.bg = null;
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.fg = NAMES[code % 10];
    else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) style.bg = NAMES[code % 10];
  }
}

function classes(style) {
  const names = [...style.flags].map((flag) => `a-${flag}`);
  if (style.fg) names.push(`a-${style.fg}`);
  if (style.bg) names.push(`b-${style.bg}`);
  return names.join(" ");
}

const codePoint = (text) => `U+${text.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// Text with its hidden characters made visible.
function* visible(text, className) {
  for (const piece of text.split(SPLIT)) {
    if (!piece) continue;
    if (HIDDEN.test(piece)) yield { text: codePoint(piece), className: "control" };
    else yield { text: piece, className };
  }
}

// → [{text, className}], in order; `className` is "" or made of the names above.
export function pieces(line) {
  const style = { fg: null, bg: null, flags: new Set() };
  const found = [];
  let from = 0;
  for (const match of line.matchAll(ESCAPE)) {
    found.push(...visible(line.slice(from, match.index), classes(style)));
    if (match[2] === "m") apply(style, match[1]);
    from = match.index + match[0].length;
  }
  found.push(...visible(line.slice(from), classes(style)));
  return found;
}
