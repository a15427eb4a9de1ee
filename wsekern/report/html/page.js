// Shows the label of a mark under the pointer or the focus, and moves the focus between marks with the arrow keys.
"use strict";
const tip = document.getElementById("tip");

function show(mark) {
  tip.textContent = mark.getAttribute("aria-label");
  tip.style.display = "block";
  const box = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(4, box.left + box.width / 2 - own.width / 2), document.documentElement.clientWidth - own.width - 4);
  const above = box.top - own.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
}

function hide() {
  tip.style.display = "none";
}

function middle(mark) {
  const box = mark.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

// The nearest mark that lies in the direction of the key; what lies aside counts as farther away.
function next(marks, from, dx, dy) {
  const [x, y] = middle(from);
  let best = null, least = Infinity;
  for (const mark of marks) {
    const [u, v] = middle(mark), ahead = (u - x) * dx + (v - y) * dy, aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    const far = ahead + 4 * aside;
    if (mark !== from && ahead > 0.5 && far < least) [best, least] = [mark, far];
  }
  return best;
}

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

for (const area of document.querySelectorAll(".area")) {
  const marks = [...area.querySelectorAll(".m")];
  area.addEventListener("keydown", (event) => {
    const here = event.target, way = WAYS[event.key];
    if (event.key === "Escape") return hide();
    let to = way ? next(marks, here, ...way) : null;
    if (event.key === "Home") to = marks[0];
    if (event.key === "End") to = marks[marks.length - 1];
    if (way || to) event.preventDefault();
    if (!to) return;
    here.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
  area.addEventListener("focusin", (event) => show(event.target));
  area.addEventListener("focusout", hide);
  area.addEventListener("pointerover", (event) => event.target.classList.contains("m") && show(event.target));
  area.addEventListener("pointerout", hide);
}
addEventListener("scroll", hide, { passive: true, capture: true });

document.getElementById("save")?.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([document.getElementById("data").textContent], { type: "application/json" }));
  link.download = "wsekern.json";
  link.click();
});
