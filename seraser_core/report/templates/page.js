"use strict";
// The page needs none of this: it sorts tables, enlarges pictures, copies code, switches the theme.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, attributes = {}) => Object.assign(document.createElement(tag), attributes);

  const root = document.documentElement;
  const theme = document.querySelector(".theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const press = () => theme.setAttribute("aria-pressed", String(dark()));
  theme.hidden = false;
  press();
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    press();
  });

  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/,/g, ""));
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        all("[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
        body.append(...(falling ? rows.reverse() : rows));
      });
    });
  }

  const copied = '<svg viewBox="0 0 14 20" aria-hidden="true">' +
    '<rect x="1" y="6" width="8" height="10" rx="1.5"/><path d="M4 6V3.5h8.5V14H9"/></svg>';
  if (navigator.clipboard) {
    for (const code of all(".code")) {
      const button = make("button", { type: "button", innerHTML: copied });
      button.setAttribute("aria-label", "Copy");
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.querySelector("pre").textContent);
        button.dataset.done = "";
        setTimeout(() => delete button.dataset.done, 1200);
      });
      code.append(button);
    }
  }

  if (window.HTMLDialogElement) {
    for (const image of all(".views img")) {
      const button = make("button", { type: "button" });
      button.setAttribute("aria-label", `Enlarge: ${image.alt}`);
      image.replaceWith(button);
      button.append(image);
      button.addEventListener("click", () => {
        const dialog = make("dialog");
        dialog.setAttribute("aria-label", image.alt);
        dialog.append(image.cloneNode(), make("p", { textContent: image.alt }));
        dialog.addEventListener("click", () => dialog.close());
        dialog.addEventListener("close", () => dialog.remove());
        document.body.append(dialog);
        dialog.showModal();
      });
    }
  }

  // Wide screens hide the summaries of these.
  if (matchMedia("(max-width: 40rem)").matches) {
    for (const folded of all("details.phone")) folded.open = false;
  }

  const links = all(".top nav a");
  const shown = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      for (const link of links) {
        if (link.hash === `#${entry.target.id}`) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  all("main > section").forEach((section) => shown.observe(section));

  addEventListener("beforeprint", () => all("details").forEach((one) => { one.open = true; }));
})();
