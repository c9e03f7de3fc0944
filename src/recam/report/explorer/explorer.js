(() => {
  "use strict";

  // Masks are cut as in core/labels.py, and IoU is that of core/metrics.py. Scores are in steps of
  // 1 / head.steps. No text is parsed as HTML.
  const section = document.currentScript.parentElement;
  const { head, images } = JSON.parse(
    section.querySelector("script[type='application/json']").textContent,
  );
  const part = (name) => section.querySelector(`[data-part="${name}"]`);
  const MOST_SCORES = 3; // of a pixel, in words
  const isOn = (name) => part(name)?.checked;
  const imageView = viewOf(part("image"));
  const truthView = viewOf(part("truth"));
  const panels = [...section.querySelectorAll("[data-part='method']")].map(panelOf);
  const views = [imageView, truthView, ...panels];
  const table = section.querySelector(".x-table");
  const area = section.querySelector(".x-panels");
  const cards = images.map(cardOf);
  const decoded = new Map(); // promises of score maps, by their packed text
  const hidden = new Set(); // mask ids
  let stage = section.querySelector(".x-stages input:checked").value;
  let shown = images[0];
  let truth = null; // mask of the image shown
  let pixel = null; // [x, y] of the scores in words
  let turn = 0; // the latest call of show is the one that draws

  // ---- decoding ----

  async function unpacked(text, [height, width]) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const values = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = width; i < values.length; i++) {
      if (i % (width * height) >= width) values[i] += values[i - width]; // modulo 256
    }
    return values;
  }

  /** The best id and its score for each pixel: of equal scores the first, as argmax takes it. */
  function withBest(values, ids, pixels) {
    const best = new Uint8Array(pixels);
    const top = new Uint8Array(pixels).fill(ids[0] ?? 0);
    for (let i = 0; i < ids.length * pixels; i++) {
      const at = i % pixels;
      if (values[i] > best[at]) [best[at], top[at]] = [values[i], ids[Math.floor(i / pixels)]];
    }
    return { values, ids, best, top };
  }

  function mapsOf(image, method) {
    const found = image.maps[stage]?.[method];
    if (found && !decoded.has(found.packed)) {
      const pixels = image.size[0] * image.size[1];
      const ready = unpacked(found.packed, image.size);
      decoded.set(found.packed, ready.then((values) => withBest(values, found.ids, pixels)));
    }
    return found && decoded.get(found.packed);
  }

  // ---- masks and numbers ----

  /** Background up to ``low``, the best class above ``high``, ignored in between. */
  function maskOf({ best, top }, low, high) {
    return top.map((id, i) => (best[i] > high ? id : best[i] > low ? head.ignored : 0));
  }

  /** IoU in percent by id, for ids with a pixel in mask or ground truth. */
  function ious(mask) {
    const [right, given, real] = [0, 0, 0].map(() => new Int32Array(head.names.length));
    for (let i = 0; i < mask.length; i++) {
      if (truth[i] === head.ignored) continue;
      given[mask[i]]++;
      real[truth[i]]++;
      if (mask[i] === truth[i]) right[mask[i]]++;
    }
    const union = given.map((count, id) => count + real[id] - right[id]);
    const ids = [...union.keys()].filter((id) => union[id]);
    return new Map(ids.map((id) => [id, (100 * right[id]) / union[id]]));
  }

  function shares(mask) {
    const found = new Map();
    for (const id of mask) found.set(id, (found.get(id) ?? 0) + 100 / mask.length);
    return found;
  }

  const mean = (found) => [...found.values()].reduce((sum, value) => sum + value, 0) / found.size;
  const [isGain, isLoss] = [(value) => value >= 0.05, (value) => value <= -0.05]; // when rounded
  const fixed = (value) => (Number.isFinite(value) ? value.toFixed(1) : "–");
  const sign = (value) => (isGain(value) ? "+" : isLoss(value) ? "−" : "");
  const signed = (value) => sign(value) + fixed(Math.abs(value));
  const tone = (value) => (isGain(value) ? "x-good" : isLoss(value) ? "x-bad" : "");
  const scoreOf = (steps) => {
    const value = steps / head.steps;
    return value.toFixed(Math.abs(100 * value - Math.round(100 * value)) < 1e-6 ? 2 : 3);
  };

  // ---- elements ----

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function viewOf(figure) {
    const stack = figure.querySelector(".x-stack");
    stack.addEventListener("pointermove", pointAt);
    stack.addEventListener("pointerdown", pointAt);
    stack.addEventListener("keydown", movePoint);
    return {
      figure,
      stack,
      base: figure.querySelector("img"),
      canvas: figure.querySelector("canvas"),
      cross: figure.querySelector(".x-cross"),
      readout: figure.querySelector(".x-readout"),
    };
  }

  function panelOf(figure, number) {
    const panel = {
      ...viewOf(figure),
      method: head.pair[number],
      select: figure.querySelector("select"),
      slider: figure.querySelector("input"),
      output: figure.querySelector("output"),
      result: figure.querySelector(".x-result"),
      level: head.start, // background score
      maps: null, // of the image shown
      mask: null,
      numbers: null, // IoU by id, or shares of pixels without ground truth
    };
    const titles = Object.entries(head.methods);
    panel.select.append(...titles.map(([value, title]) => element("option", { value }, title)));
    panel.select.value = panel.method;
    panel.select.addEventListener("change", () => {
      panel.method = panel.select.value;
      toCut(panel);
      sortGallery();
      show(shown);
    });
    panel.slider.addEventListener("input", () => move(panel, () => Number(panel.slider.value)));
    for (const button of figure.querySelectorAll("[data-jump]")) {
      const { jump } = button.dataset;
      button.addEventListener("click", () => move(panel, (each) => sourceOf(each)[jump]));
    }
    return panel;
  }

  function cardOf(image) {
    const input = element("input", { type: "radio", name: "explorer-image", value: image.name });
    input.addEventListener("change", () => show(image));
    const thumbnail = element("img", { src: `data:image/jpeg;base64,${image.jpeg}`, alt: "" });
    const text = element("span");
    return { image, input, text, label: element("label", {}, input, thumbnail, text) };
  }

  // ---- methods and thresholds ----

  /** The thresholds of a panel; a method without maps at this stage has none. */
  const sourceOf = (panel) => head.sources[stage][panel.method] ?? {};

  function toCut(panel) {
    const source = sourceOf(panel);
    panel.level = source.cut ?? head.start;
    for (const name of ["cut", "oracle"]) {
      const mark = panel.figure.querySelector(`[data-mark="${name}"]`);
      const button = panel.figure.querySelector(`[data-jump="${name}"]`);
      mark.hidden = button.hidden = !Number.isFinite(source[name]);
      mark.style.setProperty("--at", source[name] / head.steps);
      button.textContent = `${name} ${scoreOf(source[name])}`;
    }
  }

  /** Set the level of a panel, or of all if they are linked; to null changes nothing. */
  function move(panel, levelOf) {
    for (const each of isOn("linked") ? panels : [panel]) each.level = levelOf(each) ?? each.level;
    redraw();
  }

  // ---- drawing ----

  function redraw() {
    for (const panel of panels) {
      const { maps, level } = panel;
      const margin = isOn("band") ? (sourceOf(panel).margin ?? 0) : 0;
      panel.mask = maps && maskOf(maps, level, level);
      panel.numbers = maps && (truth ? ious : shares)(panel.mask);
      const [low, high] = [Math.max(0, level - margin), Math.min(head.steps, level + margin)];
      paint(panel, maps && maskOf(maps, low, high));
      const total = truth && maps ? `mIoU ${fixed(mean(panel.numbers))} %` : "";
      panel.slider.value = level;
      panel.slider.setAttribute("aria-valuetext", `${scoreOf(level)} ${total}`);
      panel.output.textContent = scoreOf(level);
      panel.result.textContent = maps ? total : "No maps of this image yet.";
    }
    paint(truthView, truth);
    drawTable();
    drawReadouts();
  }

  /** Fill the canvas with opaque pixels of the mask; the page makes the canvas translucent. */
  function paint({ canvas }, mask) {
    const [height, width] = shown.size;
    Object.assign(canvas, { width, height }); // clears it
    const pixels = new ImageData(width, height);
    mask?.forEach((id, i) => {
      if (id && !hidden.has(id)) pixels.data.set([...head.colours[id], 255], 4 * i);
    });
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  function drawTable() {
    const there = panels.filter((panel) => panel.maps);
    const known = there.flatMap(({ numbers, maps }) => [...numbers.keys(), ...maps.ids]);
    const ids = new Set([...known, ...(truth ?? [])].filter((id) => id !== head.ignored));
    const cellsOf = (id) => there.map(({ numbers }) => numbers.get(id));
    const rows = [...ids].sort((a, b) => a - b).map((id) => rowOf(toggleOf(id), cellsOf(id)));
    if (truth && there.length) {
      rows.unshift(rowOf("mean", there.map(({ numbers }) => mean(numbers))));
      rows[0].className = "x-mean";
    }
    const titles = there.map(({ method }) => head.methods[method]);
    if (there.length > 1) titles.push("change");
    const heads = titles.map((title) => element("th", { scope: "col" }, title));
    const focused = table.contains(document.activeElement) && document.activeElement.value;
    table.replaceChildren(
      element("caption", {}, truth ? "IoU in this image, %" : "Share of the pixels, %"),
      element("thead", {}, element("tr", {}, element("td"), ...heads)),
      element("tbody", {}, ...rows),
    );
    if (focused) table.querySelector(`input[value="${focused}"]`).focus();
  }

  function rowOf(name, values) {
    const cells = values.map((value) => element("td", {}, fixed(value)));
    if (values.length > 1) {
      const change = values[1] - values[0];
      cells.push(element("td", { className: tone(change) }, signed(change)));
    }
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
  }

  function toggleOf(id) {
    if (!id) return element("span", { className: "x-plain" }, head.names[id]);
    const box = element("input", { type: "checkbox", value: id, checked: !hidden.has(id) });
    box.addEventListener("change", () => {
      hidden[box.checked ? "delete" : "add"](id);
      redraw();
    });
    const swatch = element("span", { className: "x-swatch" });
    swatch.style.background = `rgb(${head.colours[id].join(" ")})`;
    return element("label", { className: "x-class" }, box, swatch, head.names[id]);
  }

  // ---- scores at a pixel ----

  function point(x, y) {
    const inside = (value, length) => Math.min(length - 1, Math.max(0, Math.floor(value)));
    pixel = [inside(x, shown.size[1]), inside(y, shown.size[0])];
    drawReadouts();
  }

  function pointAt({ currentTarget, clientX, clientY }) {
    const box = currentTarget.getBoundingClientRect();
    const scale = shown.size[0] / box.height;
    point((clientX - box.left) * scale, (clientY - box.top) * scale);
  }

  function movePoint(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = pixel ?? [shown.size[1] / 2, shown.size[0] / 2];
    point(x + step[0], y + step[1]);
  }

  function drawReadouts() {
    const [height, width] = shown.size;
    const [x, y] = pixel ?? [0, 0];
    const at = y * width + x;
    const nameOf = (mask) => (mask[at] === head.ignored ? "ignored" : head.names[mask[at]]);
    for (const view of views) {
      view.cross.hidden = !pixel;
      view.cross.style.left = `${(100 * (x + 0.5)) / width}%`;
      view.cross.style.top = `${(100 * (y + 0.5)) / height}%`;
      view.readout.textContent = "";
    }
    imageView.readout.textContent = pixel ? `x ${x}, y ${y}` : "Point at a pixel.";
    if (!pixel) return;
    if (truth) truthView.readout.textContent = nameOf(truth);
    for (const { maps, mask, readout } of panels) {
      const scores = maps?.ids.map((id, n) => [maps.values[n * mask.length + at], id]) ?? [];
      const best = scores.sort(([one], [other]) => other - one).slice(0, MOST_SCORES);
      const words = best.map(([steps, id]) => `${head.names[id]} ${scoreOf(steps)}`);
      readout.textContent = maps ? `${words.join(", ")} → ${nameOf(mask)}` : "";
    }
  }

  // ---- images ----

  async function show(image) {
    const own = ++turn;
    area.ariaBusy = "true";
    const mask = image.truth && unpacked(image.truth, image.size);
    const ready = [mask, ...panels.map((panel) => mapsOf(image, panel.method))];
    const [newTruth, ...newMaps] = await Promise.all(ready);
    if (own !== turn) return;
    [shown, truth, pixel] = [image, newTruth, null];
    panels.forEach((panel, number) => (panel.maps = newMaps[number]));
    const [[height, width], [rows, columns]] = [image.stored, image.size];
    for (const { base, stack } of views) {
      base.src = `data:image/jpeg;base64,${image.jpeg}`;
      stack.style.setProperty("--x-ratio", columns / rows);
    }
    truthView.figure.hidden = !truth;
    area.classList.toggle("x-no-truth", !truth);
    const reduced = height + width > rows + columns ? `, reduced to ${columns} × ${rows}` : "";
    part("name").textContent = `${image.name}, ${width} × ${height} pixels${reduced}`;
    redraw();
    area.ariaBusy = "false";
  }

  const miouOf = (image, { method }) => image.maps[stage]?.[method]?.miou ?? NaN;
  const gainOf = (image) => miouOf(image, panels[1]) - miouOf(image, panels[0]);
  const changeOf = (image) => {
    const [one, other] = panels.map((panel) => panel.method);
    const found = image.changes[stage] ?? {};
    return one === other ? 0 : (found[`${one} ${other}`] ?? found[`${other} ${one}`] ?? NaN);
  };
  const firstId = (image) => {
    const found = Object.values(image.maps).flatMap((methods) => Object.values(methods));
    return Math.min(head.ignored, ...found.flatMap(({ ids }) => ids));
  };
  const lastMiou = (image) => miouOf(image, panels.at(-1));
  // Each order: the key, ascending; the text of a thumbnail.
  const orders = {
    gain: [(image) => -gainOf(image), (image) => signed(gainOf(image))],
    loss: [gainOf, (image) => signed(gainOf(image))],
    failure: [lastMiou, (image) => fixed(lastMiou(image))],
    change: [(image) => -changeOf(image), (image) => fixed(changeOf(image)).replace(/\d$/, "$& %")],
    class: [firstId, (image) => head.names[firstId(image)] ?? "none"],
  };

  /** Sort the gallery and return its first card; images without a number are last. */
  function sortGallery() {
    const name = part("order").value;
    const [keyOf, textOf] = orders[name];
    const ranked = cards.map((card) => ({ card, key: keyOf(card.image) }));
    const rank = ({ key }) => (Number.isFinite(key) ? key : Number.MAX_VALUE);
    ranked.sort((one, other) => rank(one) - rank(other));
    for (const { card } of ranked) {
      card.text.textContent = textOf(card.image);
      const toned = name === "gain" || name === "loss" ? tone(gainOf(card.image)) : "";
      card.text.className = `x-number ${toned}`;
      card.input.setAttribute("aria-label", `${card.image.name} ${card.text.textContent}`);
    }
    part("gallery").replaceChildren(...ranked.map(({ card }) => card.label));
    return ranked[0].card;
  }

  function showFirst() {
    const first = sortGallery();
    first.input.checked = true;
    part("gallery").scrollLeft = 0;
    show(first.image);
  }

  // ---- start ----

  const setOpacity = () => section.style.setProperty("--x-opacity", part("opacity").value / 100);

  function setStage({ target }) {
    stage = target.value;
    panels.forEach(toCut);
    sortGallery();
    show(shown);
  }

  if (typeof DecompressionStream === "undefined") {
    section.querySelector(".x-failed").hidden = false;
    return;
  }
  part("opacity").addEventListener("input", setOpacity);
  part("order").addEventListener("change", showFirst);
  part("band")?.addEventListener("change", redraw);
  section.querySelector(".x-stages").addEventListener("change", setStage);
  section.querySelector(".x-body").hidden = false;
  setOpacity();
  panels.forEach(toCut);
  showFirst();
})();
