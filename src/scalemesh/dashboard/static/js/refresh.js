// Live regions: while the page says `data-live`, it is fetched again and its `data-region`s are put in place.
const EVERY_MS = 3000;
const AFTER_ERROR_MS = 10_000;

const isLive = () => document.querySelector("[data-live]") !== null;

function swap(fresh) {
  for (const old of document.querySelectorAll("[data-region]")) {
    const next = fresh.getElementById(old.id);
    const held = old.contains(document.activeElement) || old.querySelector("details[open]");
    if (!next || held || next.isEqualNode(old)) continue;
    old.replaceWith(document.adoptNode(next));
  }
  document.title = fresh.title;
}

async function load() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (answer.redirected || !answer.ok) throw new Error(`HTTP ${answer.status}`);
  swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

// Returns `refresh()`: fetch now; whoever learns that something changed calls it.
export function keepFresh() {
  let timer = 0;
  let busy = false;
  let again = false;

  const later = (ms) => {
    clearTimeout(timer);
    if (isLive()) timer = setTimeout(refresh, ms);
  };

  async function refresh() {
    if (busy) return void (again = true);
    busy = true;
    let pause = EVERY_MS;
    try {
      await load();
    } catch {
      pause = AFTER_ERROR_MS; // the server is away, or asks to sign in: what is shown stays
    }
    busy = false;
    if (again) pause = 0;
    again = false;
    later(document.hidden ? AFTER_ERROR_MS : pause);
  }

  document.addEventListener("visibilitychange", () => !document.hidden && isLive() && refresh());
  later(EVERY_MS);
  return refresh;
}
