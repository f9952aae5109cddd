// `<time datetime>` in words that stay true while the page is open, and durations that run.
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

export function relative(ms, now = Date.now()) {
  const seconds = Math.round((now - ms) / 1000);
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  if (unit === "second" && Math.abs(seconds) < 45) return seconds < 0 ? "in a moment" : "just now";
  const count = Math.round(Math.abs(seconds) / size) || 1;
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds < 0 ? `in ${words}` : `${words} ago`;
}

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${seconds % 60}s`;
  return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
}

const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function update() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const at = Date.parse(time.dateTime);
    write(time, relative(at));
    time.title = ABSOLUTE.format(at);
  }
  for (const running of document.querySelectorAll("[data-since]")) {
    write(running, duration(Date.now() - Date.parse(running.dataset.since)));
  }
}

export function keepTime() {
  update();
  setInterval(update, 1000);
}
