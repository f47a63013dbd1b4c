"use strict";

// Tables: a header's button sorts by its column, up, down, and back to the order of the report.

/** Numbers come before words, and cells without either are last, whichever way is sorted. */
function compare(one, other, way) {
  if (one.rank !== other.rank) return one.rank - other.rank;
  const words = () => one.text.localeCompare(other.text, "en", { numeric: true });
  return way * (one.rank === 0 ? one.number - other.number : words());
}

function key(cell) {
  const text = cell ? cell.textContent.trim() : "";
  const number = cell && "number" in cell.dataset ? Number(cell.dataset.number) : NaN;
  return { text, number, rank: !Number.isNaN(number) ? 0 : text !== "" && text !== "—" ? 1 : 2 };
}

function sortable(table) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const original = [...body.rows];
  if (original.length < 2) return;
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "" };
      const order = next[header.getAttribute("aria-sort")] ?? "ascending";
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      if (order !== "") header.setAttribute("aria-sort", order);
      const way = order === "descending" ? -1 : 1;
      const keyed = original.map((row) => ({ row, key: key(row.cells[column]) }));
      // The sort is stable: ties stay in the order of the report.
      if (order !== "") keyed.sort((one, other) => compare(one.key, other.key, way));
      body.append(...keyed.map(({ row }) => row));
    });
  });
}

// Figures: the values of the point nearest to the pointer, or that the arrow keys lead to.

/** Units of a drawing from which on a point is too far from the pointer. */
const REACH = 40;

const value = document.createElement("div");
value.id = "value";
value.setAttribute("role", "status");
value.hidden = true;

function answering(svg) {
  // The drawing's own title would be shown over its values.
  const title = svg.querySelector(":scope > title");
  svg.setAttribute("aria-label", title.textContent);
  svg.removeAttribute("aria-labelledby");
  svg.setAttribute("aria-describedby", svg.querySelector(":scope > desc").id);
  title.remove();

  const lines = [...svg.querySelectorAll(".values")].map((line) =>
    [...line.children].map((circle) => {
      const text = circle.textContent;
      circle.replaceChildren();
      return { x: Number(circle.getAttribute("cx")), y: Number(circle.getAttribute("cy")), text };
    }),
  );
  const shown = lines.filter((line) => line.length > 0);
  if (shown.length === 0) return;
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  mark.setAttribute("class", "mark");
  mark.setAttribute("r", "5");
  let line = 0;
  let place = -1;

  const scale = () => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const hide = () => {
    value.hidden = true;
    mark.remove();
  };
  const show = () => {
    const point = shown[line][place];
    mark.setAttribute("cx", point.x);
    mark.setAttribute("cy", point.y);
    svg.append(mark);
    value.textContent = point.text;
    value.hidden = false;
    const box = svg.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const across = box.left + point.x * scale();
    const left = across + 14 + value.offsetWidth < width ? across + 14 : across - 14 - value.offsetWidth;
    const down = box.top + point.y * scale() - value.offsetHeight - 10;
    value.style.left = `${Math.max(8, Math.min(left, width - value.offsetWidth - 8)) + scrollX}px`;
    value.style.top = `${(down > 8 ? down : down + value.offsetHeight + 24) + scrollY}px`;
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / scale(), (event.clientY - box.top) / scale()];
    let least = REACH;
    let found = false;
    shown.forEach((points, number) =>
      points.forEach((point, index) => {
        const distance = Math.hypot(point.x - x, point.y - y);
        if (distance < least) [least, line, place, found] = [distance, number, index, true];
      }),
    );
    if (found) show();
    else hide();
  };
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  // A finger that was lifted has left, but its reader is still reading.
  svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && hide());

  svg.tabIndex = 0;
  svg.addEventListener("blur", hide);
  // What was shown would stand beside another point.
  addEventListener("resize", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (place < 0) {
      place = 0;
    } else if (step[0] === 0) {
      place = Math.max(0, Math.min(place + step[1], shown[line].length - 1));
    } else {
      const { x } = shown[line][place];
      line = (line + step[0] + shown.length) % shown.length;
      const away = shown[line].map((point) => Math.abs(point.x - x));
      place = away.indexOf(Math.min(...away));
    }
    show();
  });
}

// The color scheme: the reader's, until the button says otherwise.

function switching(nav) {
  const button = document.createElement("button");
  button.type = "button";
  const root = document.documentElement;
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => {
    button.textContent = dark ? "Light colors" : "Dark colors";
  };
  button.addEventListener("click", () => {
    dark = !dark;
    root.style.colorScheme = dark ? "dark" : "light";
    name();
  });
  name();
  nav.append(button);
}

document.querySelectorAll(".table > table").forEach(sortable);
document.body.append(value);
document.querySelectorAll(".figure > svg").forEach(answering);
switching(document.querySelector("nav"));
