// The log viewer: rows in chunks (those out of sight cost nothing to lay out), follow, links to lines.
import { pieces } from "./ansi.js";
import { follow } from "./stream.js";

const CHUNK_LINES = 200;
const MAX_CHUNKS = 250; // 50,000 lines stay in the page; all of them are in the download
const NEAR_END_PX = 48;

const STEPS = { clone: "Clone", detect: "Detect", install: "Install", build: "Build", upload: "Upload" };

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function textOf(line) {
  const text = make("span", "line-text");
  for (const piece of pieces(line.text)) {
    text.append(piece.className ? make("span", piece.className, piece.text) : piece.text);
  }
  return text;
}

function rowOf(line) {
  const number = line.seq + 1;
  const row = make("div", `line line-${line.level} line-${line.stream}`);
  row.id = `L${number}`;
  const link = make("a", "line-no");
  link.href = `#L${number}`;
  link.dataset.n = number;
  link.tabIndex = -1; // thousands of tab stops help nobody; the log itself is one
  link.setAttribute("aria-label", `Line ${number}`);
  row.append(link, textOf(line));
  return row;
}

class Rows {
  constructor(box) {
    this.box = box;
    this.chunk = null;
    this.heading = "";
    this.dropped = 0;
  }

  add(line) {
    const heading = `${line.attempt ?? 0} ${line.step}`;
    const isNew = heading !== this.heading && (line.step || this.heading === "");
    if (!this.chunk || this.chunk.children.length >= CHUNK_LINES || isNew) this.#begin();
    if (isNew) this.#head(line, heading);
    this.chunk.append(rowOf(line));
  }

  #begin() {
    if (this.chunk?.children.length >= CHUNK_LINES) this.chunk.classList.add("is-full");
    this.chunk = make("div", "log-chunk");
    this.box.append(this.chunk);
    if (this.box.querySelectorAll(".log-chunk").length > MAX_CHUNKS) this.#drop();
  }

  #head(line, heading) {
    this.heading = heading;
    const step = STEPS[line.step] ?? line.step;
    const words = [line.attempt > 1 ? `Attempt ${line.attempt}` : "", step].filter(Boolean).join(" · ");
    if (words) this.chunk.append(make("div", "log-step", words));
  }

  #drop() {
    const oldest = this.box.querySelector(".log-chunk");
    this.dropped += oldest.querySelectorAll(".line").length;
    oldest.remove();
    this.box.querySelector(".log-note")?.remove();
    this.box.prepend(make("div", "log-step log-note", `${this.dropped} earlier lines are in the download`));
  }
}

// Follows the end until the person scrolls up, again when they come back down. Only what their hand does counts:
// our own scrolling, and what layout does to the position, must not switch it.
class Follow {
  constructor(box, button) {
    this.box = box;
    this.button = button;
    this.top = 0;
    this.byHand = false;
    button.addEventListener("click", () => this.set(!this.on));
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      box.addEventListener(kind, () => (this.byHand = true), { passive: true });
    }
  }

  set(on) {
    this.on = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.keep();
  }

  keep() {
    if (!this.on) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.byHand = false;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.byHand && this.on && scrollTop < this.top) this.set(false);
    else if (this.byHand && !this.on && atEnd && scrollTop > this.top) this.set(true);
    this.top = scrollTop;
  }
}

const STATUS = { live: "Live", waiting: "Connecting…", lost: "Connection lost, trying again…", refused: "Sign in again" };

export function openLog(root, refresh) {
  const box = root.querySelector("[data-log-lines]");
  const status = root.querySelector("[data-log-state]");
  const button = root.querySelector("[data-log-follow]");
  const rows = new Rows(box);
  const following = new Follow(box, button);
  let wanted = /^#L\d+$/.test(location.hash) ? location.hash.slice(1) : null;
  let waiting = [];
  let scheduled = false;
  let ended = root.dataset.ended !== undefined;
  const live = !ended;
  button.hidden = ended;
  following.set(!wanted && (live || root.dataset.ended === "error"));

  function show() {
    scheduled = false;
    const lines = waiting;
    waiting = [];
    const step = rows.heading;
    for (const line of lines) rows.add(line);
    following.keep();
    if (wanted) link(wanted);
    if (live && rows.heading !== step) refresh();
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    if (document.hidden) setTimeout(show, 100); // no animation frames in a hidden tab
    else requestAnimationFrame(show);
  }

  // Again with every batch, until the person scrolls: lines above and below it are still coming.
  function link(id) {
    const row = document.getElementById(id);
    if (!row || following.byHand) return;
    row.classList.add("is-linked");
    box.scrollTop += row.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2;
    box.scrollIntoView({ block: "nearest" });
  }

  addEventListener("hashchange", () => {
    wanted = null;
    for (const row of box.querySelectorAll(".is-linked")) row.classList.remove("is-linked");
    following.set(false);
  });

  box.querySelector("[data-log-empty]")?.remove();
  follow(root.dataset.log, -1, {
    line(line) {
      waiting.push(line);
      schedule();
    },
    status(kind) {
      status.textContent = ended ? "" : STATUS[kind];
    },
    end() {
      ended = true;
      status.textContent = "";
      button.hidden = true;
      show();
      if (!box.querySelector(".line")) box.append(make("p", "log-step", "This deployment wrote no log."));
      if (live) refresh();
    },
  });
}
