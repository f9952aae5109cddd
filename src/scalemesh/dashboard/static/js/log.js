// The log viewer: rows in chunks, of which those in sight are in the page; follow, links to lines, search.
import { pieces } from "./ansi.js";
import { follow } from "./stream.js";

const CHUNK_LINES = 200;
const LINE_PX = 20; // of a chunk that has not been seen yet
const NEAR_END_PX = 48;

const STEPS = { clone: "Clone", detect: "Detect", install: "Install", build: "Build", upload: "Upload" };

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// What is seen of a line, in small letters: made once, for search.
function seen(line) {
  return (line.seen ??= pieces(line.text).map((piece) => piece.text).join("").toLowerCase());
}

function textOf(line, query) {
  const text = make("span", "line-text");
  const hits = query ? [...places(seen(line), query)] : [];
  let start = 0;
  for (const piece of pieces(line.text)) {
    const styled = piece.className ? make("span", piece.className) : document.createDocumentFragment();
    styled.append(...marked(piece.text, hits, start, query.length));
    text.append(styled);
    start += piece.text.length;
  }
  return text;
}

function* places(text, query) {
  for (let at = text.indexOf(query); at >= 0; at = text.indexOf(query, at + query.length)) yield at;
}

// A piece that begins at `start` of its line in parts, what was found (it may go on in the next piece) as <mark> elements.
function marked(text, hits, start, length) {
  const parts = [];
  let from = 0;
  for (const at of hits) {
    const [first, last] = [Math.max(at - start, from), Math.min(at - start + length, text.length)];
    if (first >= last) continue;
    parts.push(text.slice(from, first), make("mark", "hit", text.slice(first, last)));
    from = last;
  }
  return [...parts, text.slice(from)];
}

function rowOf(line, query) {
  const number = line.seq + 1;
  const row = make("div", `line line-${line.level} line-${line.stream}`);
  row.id = `L${number}`;
  const link = make("a", "line-no");
  link.href = `#L${number}`;
  link.dataset.n = number;
  link.tabIndex = -1; // thousands of tab stops help nobody; the log itself is one
  link.setAttribute("aria-label", `Line ${number}`);
  row.append(link, textOf(line, query));
  return row;
}

// All lines, of which only those in sight (and near it) are in the page: a chunk out of sight is an empty box as high
// as it was, or as it will be.
class Rows {
  constructor(box, shown) {
    this.box = box;
    this.lines = [];
    this.heading = "";
    this.query = "";
    this.linked = null;
    this.chunk = null;
    this.chunks = new Map();
    this.grown = new Set();
    this.sight = new IntersectionObserver((seen) => {
      for (const each of seen) {
        const chunk = this.chunks.get(each.target);
        if (each.isIntersecting) this.#fill(chunk);
        else this.#empty(chunk);
      }
      shown();
    }, { root: box, rootMargin: "100% 0px" });
  }

  add(line) {
    const heading = `${line.attempt ?? 0} ${line.step}`;
    const isNew = heading !== this.heading && (line.step || this.heading === "");
    if (!this.chunk || this.chunk.lines.length >= CHUNK_LINES || isNew) this.#begin();
    if (isNew) this.#head(line, heading);
    this.lines.push(line);
    this.chunk.lines.push(line);
    if (this.chunk.isFull) this.chunk.box.append(this.#row(line));
    else this.grown.add(this.chunk);
  }

  // After a batch of lines.
  measure() {
    for (const chunk of this.grown) if (!chunk.isFull) chunk.box.style.height = `${chunk.lines.length * LINE_PX}px`;
    this.grown.clear();
  }

  // The row of a line, made if it is out of sight; null where there is none.
  row(number) {
    for (const chunk of this.chunks.values()) {
      if (chunk.lines.length && chunk.lines.at(-1).seq + 1 >= number) {
        this.#fill(chunk);
        return document.getElementById(`L${number}`);
      }
    }
    return null;
  }

  link(number) {
    this.linked = number;
    this.#again();
  }

  // → the numbers of the lines that contain it
  search(query) {
    this.query = query.toLowerCase();
    this.#again();
    if (!this.query) return [];
    return this.lines.filter((line) => seen(line).includes(this.query)).map((line) => line.seq + 1);
  }

  #begin() {
    this.chunk = { box: make("div", "log-chunk"), head: null, lines: [], isFull: false };
    this.chunks.set(this.chunk.box, this.chunk);
    this.box.append(this.chunk.box);
    this.sight.observe(this.chunk.box);
  }

  #head(line, heading) {
    this.heading = heading;
    const step = STEPS[line.step] ?? line.step;
    const words = [line.attempt > 1 ? `Attempt ${line.attempt}` : "", step].filter(Boolean).join(" · ");
    if (words) this.chunk.head = words;
  }

  #row(line) {
    const row = rowOf(line, this.query);
    row.classList.toggle("is-linked", line.seq + 1 === this.linked);
    return row;
  }

  #fill(chunk) {
    if (chunk.isFull) return;
    chunk.isFull = true;
    if (chunk.head) chunk.box.append(make("div", "log-step", chunk.head));
    chunk.box.append(...chunk.lines.map((line) => this.#row(line)));
    chunk.box.style.height = "";
  }

  #empty(chunk) {
    if (!chunk.isFull) return;
    chunk.box.style.height = `${chunk.box.offsetHeight}px`;
    chunk.box.replaceChildren();
    chunk.isFull = false;
  }

  #again() {
    for (const chunk of this.chunks.values()) {
      if (!chunk.isFull) continue;
      this.#empty(chunk);
      this.#fill(chunk);
    }
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
    // The end as it is now may be far from the end as it is once the lines on their way are here.
    box.addEventListener("keydown", (event) => event.key === "End" && this.set(true));
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

function numberIn(hash) {
  return /^#L\d+$/.test(hash) ? Number(hash.slice(2)) : null;
}

// As one types: how many lines, marked; Enter and Shift+Enter go from one to the next; Escape ends it; `/` begins.
function searching(root, rows, reveal) {
  const field = root.querySelector("[data-log-search]");
  const count = root.querySelector("[data-log-hits]");
  let hits = [];
  let at = -1;

  function say() {
    if (!field.value) count.textContent = "";
    else if (!hits.length) count.textContent = "No lines";
    else count.textContent = at < 0 ? `${hits.length} ${hits.length === 1 ? "line" : "lines"}` : `${at + 1} of ${hits.length}`;
  }

  function search() {
    hits = rows.search(field.value);
    at = -1;
    say();
  }

  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      field.value = "";
      search();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (at < 0) search(); // lines may have come since
      if (!hits.length) return;
      at = (at + (event.shiftKey ? -1 : 1) + hits.length) % hits.length;
      say();
      reveal(hits[at]);
    }
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    field.focus();
  });
}

export function openLog(root, refresh) {
  const box = root.querySelector("[data-log-lines]");
  const status = root.querySelector("[data-log-state]");
  const button = root.querySelector("[data-log-follow]");
  const rows = new Rows(box, () => following.keep());
  const following = new Follow(box, button);
  let wanted = numberIn(location.hash);
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
    rows.measure();
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
  function link(number) {
    if (!following.byHand && !following.on) reveal(number);
  }

  function reveal(number) {
    if (rows.linked !== number) rows.link(number);
    const row = rows.row(number);
    if (!row) return;
    box.scrollTop += row.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2;
    box.scrollIntoView({ block: "nearest" });
  }

  addEventListener("hashchange", () => {
    wanted = null;
    following.set(false);
    const number = numberIn(location.hash);
    if (number) reveal(number);
  });
  searching(root, rows, (number) => {
    following.set(false);
    reveal(number);
  });

  box.querySelector("[data-log-empty]")?.remove();
  follow(root.dataset.log, -1, {
    line(line) {
      waiting.push(line);
      schedule();
    },
    skipped(first, last) {
      const which = first === last ? `Line ${last + 1} was` : `Lines ${first + 1} to ${last + 1} were`;
      const text = `${which} never written, or deleted.`;
      waiting.push({ seq: last, stream: "system", level: "warn", step: "", text });
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
      if (!rows.lines.length) box.append(make("p", "log-step", "This deployment wrote no log."));
      if (live) refresh();
    },
  });
}
