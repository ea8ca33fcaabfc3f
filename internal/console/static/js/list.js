// A list of any length: only the rows in sight are elements, and they are used again.

import { h } from "./dom.js";

export class VirtualList {
  // make builds an empty row; show(row, item, index) writes one into it.
  constructor({ label, height, make, show, onopen, onend }) {
    Object.assign(this, { height, make, show, onopen, onend });
    this.pool = [];
    this.count = 0;
    this.at = () => undefined;
    this.room = h("div", { class: "vroom", role: "presentation" });
    this.el = h("div", { class: "vlist", role: "listbox", "aria-label": label, "aria-multiselectable": "true", tabindex: "0" }, this.room);
    this.el.addEventListener("scroll", () => this.soon(), { passive: true });
    this.room.addEventListener("click", (e) => {
      const row = e.target.closest(".vrow");
      if (row) this.onopen(Number(row.dataset.index), e);
    });
    this.watcher = new ResizeObserver(() => this.soon());
    this.watcher.observe(this.el);
  }

  soon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  // update says how many items there are; added of them are new at the top. Who reads further
  // down keeps what is under their eyes.
  update(count, added = 0) {
    this.count = count;
    this.room.style.height = `${count * this.height()}px`;
    if (added && this.el.scrollTop > 2) this.el.scrollTop += added * this.height();
    this.soon();
  }

  // rebuild makes all rows anew.
  rebuild() {
    for (const row of this.pool) row.remove();
    this.pool = [];
    this.soon();
  }

  draw() {
    const height = this.height();
    const top = this.el.scrollTop;
    const from = Math.max(0, Math.floor(top / height) - 4);
    const to = Math.min(this.count, Math.ceil((top + this.el.clientHeight) / height) + 4);
    while (this.pool.length < to - from) {
      const row = this.make();
      row.classList.add("vrow");
      this.room.append(row);
      this.pool.push(row);
    }
    this.pool.forEach((row, n) => {
      const i = from + n;
      const item = i < to ? this.at(i) : undefined;
      row.hidden = !item;
      if (!item) return;
      row.style.transform = `translateY(${i * height}px)`;
      row.dataset.index = i;
      row.setAttribute("aria-posinset", i + 1);
      row.setAttribute("aria-setsize", this.count);
      this.show(row, item, i);
    });
    if (this.count && to >= this.count - 20) this.onend();
  }

  reveal(i) {
    const height = this.height();
    const top = i * height;
    if (top < this.el.scrollTop) this.el.scrollTop = top;
    else if (top + height > this.el.scrollTop + this.el.clientHeight) this.el.scrollTop = top + height - this.el.clientHeight;
    this.draw();
  }
}
