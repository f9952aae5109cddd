// The log of one deployment, from `after` on: every line once and in order, across lost connections.
const MIN_PAUSE_MS = 250;
const MAX_PAUSE_MS = 5000;
const SILENCE_MS = 40_000; // the server says something every 15 s
const POLL_MS = 1500;
const TRIES_BEFORE_POLLING = 2; // where no WebSocket has ever opened: some proxy lets none through

const NOT_ALLOWED = 4403;

// handlers: line(line), skipped(first, last), end(state), status("live" | "waiting" | "lost" | "refused")
export function follow(deployment, after, handlers) {
  const base = `/v1/deployments/${encodeURIComponent(deployment)}`;
  let last = after;
  let failures = 0;
  let hasOpened = false;
  let jumpedAfter = null;
  let ended = false;
  let socket = null;
  let timer = 0;

  function take(line) {
    if (line.seq <= last) return true;
    if (line.seq > last + 1 && jumpedAfter !== last) {
      jumpedAfter = last; // ask once more for what is missing before believing that it does not exist
      return false;
    }
    last = line.seq;
    handlers.line(line);
    return true;
  }

  function skip(message) {
    if (message.last <= last) return;
    last = message.last;
    handlers.skipped(message.first, message.last);
  }

  function end(state) {
    ended = true;
    clearTimeout(timer);
    handlers.end(state);
  }

  function listen() {
    clearTimeout(timer);
    timer = setTimeout(() => socket?.close(), SILENCE_MS);
  }

  function connect() {
    const url = new URL(`${base}/logs/stream?after=${last}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const own = (socket = new WebSocket(url));
    own.onopen = () => {
      hasOpened = true;
      handlers.status("live");
      listen();
    };
    own.onmessage = (event) => {
      if (own !== socket || ended) return;
      failures = 0;
      listen();
      const message = JSON.parse(event.data);
      if (message.type === "line" && !take(message)) own.close();
      if (message.type === "skipped") skip(message);
      if (message.type === "end") end(message.state);
    };
    own.onclose = (event) => {
      if (own !== socket || ended) return;
      if (event.code === NOT_ALLOWED) handlers.status("refused");
      else retry();
    };
  }

  function retry() {
    failures += 1;
    handlers.status(failures > 1 ? "lost" : "waiting");
    clearTimeout(timer);
    const pause = Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
    timer = setTimeout(!hasOpened && failures >= TRIES_BEFORE_POLLING ? poll : connect, pause);
  }

  async function json(path) {
    const answer = await fetch(path, { cache: "no-store" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return answer.json();
  }

  async function poll() {
    try {
      const { state, finished } = await json(base).then((d) => ({ state: d.state, finished: isFinal(d.state) }));
      const { lines } = await json(`${base}/logs?after=${last}&limit=1000`);
      for (const line of lines) take(line);
      handlers.status("live");
      if (finished && lines.length === 0) return end(state);
      timer = setTimeout(poll, lines.length ? 0 : POLL_MS);
    } catch {
      failures = 0; // the server itself is away: begin again with a WebSocket
      retry();
    }
  }

  addEventListener("online", () => {
    if (ended || socket?.readyState === WebSocket.OPEN) return;
    clearTimeout(timer);
    connect();
  });
  connect();
}

const isFinal = (state) => ["ready", "error", "canceled"].includes(state);
