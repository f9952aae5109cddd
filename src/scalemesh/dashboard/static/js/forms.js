// A form is sent once: while it is on its way, its buttons say so and take no second click.
export function once() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (!button) return;
    button.setAttribute("aria-busy", "true");
    if (button.dataset.busy) button.textContent = button.dataset.busy;
  });
  // The page may come back from the history cache with its forms still marked.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}
