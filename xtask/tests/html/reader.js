"use strict";

/** Luminance contrast of two computed colors, as WCAG defines it. */
function contrast(one, other) {
  const light = (color) => {
    const [red, green, blue] = color.match(/[\d.]+/g).map((part) => {
      const share = Number(part) / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function background(element) {
  const color = getComputedStyle(element).backgroundColor;
  return color === "rgba(0, 0, 0, 0)" ? background(element.parentElement) : color;
}

/** The text that is hardest to read. */
function least() {
  const texts = [...document.querySelectorAll("h1, p, li, th button, td, a, code, summary, nav button, svg text")];
  const found = texts.map((element) => {
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    return { contrast: contrast(color, background(element)), color, text: element.textContent.slice(0, 40) };
  });
  return found.reduce((one, other) => (one.contrast <= other.contrast ? one : other));
}

function sorted(table, column) {
  const header = table.tHead.rows[0].cells[column];
  const state = () => {
    const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
    return {
      aria: header.getAttribute("aria-sort"),
      rows: [...table.tBodies[0].rows].map((row) => row.textContent),
      numbers: cells.map((cell) => ("number" in cell.dataset ? Number.parseFloat(cell.dataset.number) : null)),
    };
  };
  const original = state();
  const [up, down, again] = [0, 1, 2].map(() => {
    header.querySelector("button").click();
    return state();
  });
  return { original, up, down, again };
}

function hover() {
  const svg = document.querySelector(".figure svg");
  svg.scrollIntoView({ block: "center" });
  const value = document.getElementById("value");
  const lines = [...svg.querySelectorAll(".values")].sort((one, other) => other.children.length - one.children.length);
  const circle = lines[0].lastElementChild;
  const box = circle.getBoundingClientRect();
  const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
  const target = document.elementFromPoint(at.clientX, at.clientY);
  target.dispatchEvent(new PointerEvent("pointermove", at));
  const shown = value.textContent;
  const place = value.getBoundingClientRect();
  const apart = Math.max(place.top - at.clientY, at.clientY - place.bottom);
  const visible = apart < 30 && place.width > 50 && place.left >= 0 && place.right <= innerWidth && place.top >= 0;
  svg.dispatchEvent(new PointerEvent("pointerleave", at));
  const left = value.hidden;
  svg.focus();
  svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  const key = value.hidden ? null : value.textContent;
  svg.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  return { shown, visible, hit: target.closest(".values") !== null, left, key, escaped: value.hidden };
}

addEventListener("load", () => {
  // Of the first table that has such columns: all numbers, and numbers and words.
  const columns = (table) => table.tHead.rows[0].cells.length;
  const cells = (table, column) => [...table.tBodies[0].rows].map((row) => "number" in row.cells[column].dataset);
  const find = (table, wanted) => [...Array(columns(table)).keys()].findIndex((column) => wanted(cells(table, column)));
  const values = (table, column) => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.number);
  const ofNumbers = (table) =>
    [...Array(columns(table)).keys()].findIndex(
      (column) => cells(table, column).every((cell) => cell) && new Set(values(table, column)).size > 2,
    );
  const ofBoth = (table) => find(table, (cells) => cells.includes(true) && cells.includes(false));
  const tables = [...document.querySelectorAll("table")].filter((table) => table.querySelector("th button"));
  const table = tables.find((table) => ofNumbers(table) >= 0 && ofBoth(table) >= 0);
  const mixed = sorted(table, ofBoth(table));
  const button = table.querySelector("th button");
  button.focus();
  const seen = {
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    width: innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    figures: document.querySelectorAll(".figure svg").length,
    least: least(),
    tooWide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    sorted: sorted(table, ofNumbers(table)),
    mixed: { up: mixed.up.numbers, down: mixed.down.numbers },
    button: `${button.tagName} ${button.tabIndex} ${document.activeElement === button}`,
    hover: hover(),
  };
  document.querySelector("nav button").click();
  seen.switched = getComputedStyle(document.body).backgroundColor;
  seen.loaded = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 80));
  seen.problems = problems;
  const out = document.createElement("pre");
  out.id = "result";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
});
