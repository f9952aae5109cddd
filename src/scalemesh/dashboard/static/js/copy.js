// A button with `data-copy="id"` copies that field's value.
export function copying() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const said = button.querySelector("span") ?? button;
    const before = (button.dataset.label ??= said.textContent);
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      said.textContent = "Copied";
    } catch {
      source.select?.(); // refused: the text is selected for the person to copy
      said.textContent = "Press Ctrl+C";
    }
    setTimeout(() => (said.textContent = before), 2000);
  });
}
