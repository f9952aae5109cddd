// What every page loads. Pages work without it; it adds what moves: times, live regions, the log, copy buttons.
import { copying } from "./copy.js";
import { once } from "./forms.js";
import { openLog } from "./log.js";
import { closeMenus } from "./menu.js";
import { keepFresh } from "./refresh.js";
import { keepTime } from "./time.js";

// What was said once is not said again by a reload.
const address = new URL(location.href);
if (address.searchParams.has("notice")) {
  address.searchParams.delete("notice");
  history.replaceState(null, "", address);
}

keepTime();
copying();
once();
closeMenus();
const refresh = keepFresh();
for (const root of document.querySelectorAll("[data-log]")) openLog(root, refresh);
