// The page: cards that turn, a dialog that looks closely, a strip that blends.
"use strict";

const Page = (() => {
  const data = Scene.data;
  const START = { azimuth: data.azimuth, elevation: data.elevation, zoom: 1 };
  const STEP = 8;  // degrees that an arrow key turns
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const find = (selector, root = document) => root.querySelector(selector);

  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") node.className = value;
      else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  // ---- shapes, unpacked when first looked at, forgotten when long unseen ----

  const unpacked = new Map();
  const KEPT = 40;

  function keep(key, make) {
    const shape = unpacked.get(key) || make();
    unpacked.delete(key);
    unpacked.set(key, shape);
    for (const old of unpacked.keys()) {
      if (unpacked.size <= KEPT) break;
      unpacked.delete(old);
    }
    return shape;
  }

  const embedded = (id, header) =>
    keep(id, () => Scene.unpack(header, document.getElementById(id).textContent));

  // Meshes lie beside the page, each in a script that hands over its bytes: unlike a request, this
  // works from disk.
  const waiting = new Map();

  function receiveMesh(number, text) {
    const shape = Scene.unpack(data.items[number].mesh.header, text);
    keep("mesh-" + number, () => shape);
    const entry = waiting.get(number);
    waiting.delete(number);
    if (entry) entry.resolve(shape);
  }

  function loadMesh(number) {
    const key = "mesh-" + number;
    if (unpacked.has(key)) return Promise.resolve(keep(key, () => null));
    if (waiting.has(number)) return waiting.get(number).promise;
    const entry = {};
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    waiting.set(number, entry);
    const script = element("script", { src: data.items[number].mesh.src });
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      waiting.delete(number);
      entry.reject(new Error(`${data.items[number].mesh.src} is missing: keep the folder together`));
    };
    document.head.append(script);
    return entry.promise;
  }

  // ---- a stage: one canvas that shows one shape from one side ----

  class Stage {
    constructor(canvas, angles, { touch = "none", wheel = false } = {}) {
      Object.assign(this, { canvas, angles, shape: null, frame: null, linked: [this] });
      this.look = { colour: data.colours.generated, mode: "plain", size: 1 };
      this.pointers = new Map();
      this.dragged = false;
      canvas.style.touchAction = touch;
      this.queued = false;
      this.listen(canvas, wheel);
    }

    listen(target, wheel) {
      target.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
        this.dragged = false;
        target.setPointerCapture(event.pointerId);
      });
      target.addEventListener("pointermove", (event) => {
        const last = this.pointers.get(event.pointerId);
        if (!last) return;
        const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
        if (!this.dragged && Math.hypot(dx, dy) < 4) return;
        this.dragged = true;
        if (this.pointers.size === 2) {
          const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
          const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
          this.zoom(spread([event.clientX, event.clientY]) / spread(last));
        } else {
          const side = Math.max(this.canvas.clientWidth, 1);
          this.turn(-dx / side * 220, dy / side * 160);
        }
        this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      });
      for (const end of ["pointerup", "pointercancel"]) {
        target.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
      }
      if (wheel) {
        target.addEventListener("wheel", (event) => {
          event.preventDefault();
          this.zoom(Math.exp(-event.deltaY * 0.0015));
        }, { passive: false });
      }
    }

    key(event) {
      const turns = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
      const zooms = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 };
      if (turns[event.key]) this.turn(...turns[event.key]);
      else if (zooms[event.key]) this.zoom(zooms[event.key]);
      else if (event.key === "0") this.reset();
      else return false;
      event.preventDefault();
      return true;
    }

    turn(azimuth, elevation) {
      this.angles.azimuth = (this.angles.azimuth + azimuth) % 360;
      this.angles.elevation = Math.max(-89, Math.min(89, this.angles.elevation + elevation));
      this.linked.forEach((stage) => stage.refresh());
    }

    zoom(factor) {
      this.angles.zoom = Math.max(0.3, Math.min(8, this.angles.zoom * factor));
      this.linked.forEach((stage) => stage.refresh());
    }

    reset() {
      Object.assign(this.angles, START);
      this.linked.forEach((stage) => stage.refresh());
    }

    // `frame` is the header of the cloud, whose camera the mesh shares.
    show(shape, frame, look = {}) {
      Object.assign(this, { shape, frame });
      Object.assign(this.look, look);
      this.refresh();
    }

    refresh() {
      if (this.queued || !this.shape) return;
      this.queued = true;
      requestAnimationFrame(() => {
        this.queued = false;
        this.drawNow();
      });
    }

    drawNow() {
      if (!this.shape) return;
      const density = Math.min(devicePixelRatio || 1, 2), box = this.canvas.getBoundingClientRect();
      const width = Math.max(1, Math.round(box.width * density));
      const height = Math.max(1, Math.round(box.height * density));
      if (this.canvas.width !== width || this.canvas.height !== height) {
        Object.assign(this.canvas, { width, height });
      }
      const { azimuth, elevation, zoom } = this.angles;
      const view = { azimuth, elevation, target: this.frame.target, distance: this.frame.distance / zoom };
      Scene.draw(this.canvas, this.shape, view, this.look);
      this.canvas.dataset.drawn = "yes";
    }
  }

  // ---- the sheet ----

  const sheet = find("#sheet");
  const distance = (value) => value.toPrecision(3);
  const shortName = (id) => id.split("/").pop();
  const nameOf = (item, number) => item.name || `${number + 1}`;

  function card(item, number) {
    const picture = element("img", { alt: "", decoding: "async", width: 300, height: 300, draggable: "false" });
    const canvas = element("canvas", { hidden: true });
    const caption = element("span", { class: "caption" }, element("b", {}, nameOf(item, number)));
    if (item.category) caption.append(" ", item.category);
    if (item.nearest) {
      caption.append(element("small", { title: item.nearest.id },
        `nearest ${shortName(item.nearest.id)}, distance ${distance(item.nearest.distance)}`));
    }
    const label = `Sample ${nameOf(item, number)}${item.category ? ", " + item.category : ""}`;
    const button = element("button", {
      class: "card", type: "button", id: `card-${number}`,
      "aria-label": `${label}. Arrow keys rotate it, Enter opens it.`,
    }, element("span", { class: "stage" }, picture, canvas), caption);
    const stage = new Stage(canvas, { ...START }, { touch: "pan-y" });
    const wake = () => {
      if (stage.shape) return;
      canvas.hidden = false;
      stage.show(embedded(`cloud-${number}`, item.cloud), item.cloud);
      stage.drawNow();
      picture.style.visibility = "hidden";
    };
    stage.listen(picture, false);
    picture.style.touchAction = "pan-y";
    for (const target of [picture, canvas]) {
      target.addEventListener("pointermove", () => { if (stage.dragged && stage.pointers.size) wake(); });
    }
    button.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      wake();
      stage.key(event);
    });
    button.addEventListener("click", () => {
      if (stage.dragged) stage.dragged = false;
      else open(number);
    });
    button.sleep = () => {
      if (!stage.shape) return;
      Object.assign(stage, { shape: null });
      canvas.hidden = true;
      canvas.width = canvas.height = 1;
      picture.style.visibility = "";
    };
    button.wakePicture = () => { if (!picture.src) picture.src = item.thumbnail; };
    return button;
  }

  const cards = data.items.map(card);
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) entry.target.wakePicture();
      else entry.target.sleep();
    }
  }, { rootMargin: "400px" });
  const places = cards.map((node) => element("li", {}, node));
  sheet.append(...places);
  cards.forEach((node) => watcher.observe(node));

  function arrange() {
    const category = find("#category").value, order = find("#order").value;
    const numbers = data.items.map((_, number) => number);
    const away = (number) => (data.items[number].nearest || { distance: 0 }).distance;
    if (order === "far") numbers.sort((a, b) => away(b) - away(a));
    if (order === "near") numbers.sort((a, b) => away(a) - away(b));
    sheet.append(...numbers.map((number) => places[number]));
    let shown = 0;
    places.forEach((place, number) => {
      place.hidden = category !== "" && data.items[number].category !== category;
      shown += place.hidden ? 0 : 1;
    });
    find("#shown").textContent = shown === places.length ? "" : `${shown} of ${places.length}`;
    shownOrder = numbers.filter((number) => !places[number].hidden);
  }
  let shownOrder = data.items.map((_, number) => number);
  const categories = [...new Set(data.items.map((item) => item.category).filter(Boolean))].sort();
  find("#category").append(...categories.map((name) => element("option", { value: name }, name)));
  find("#category").closest("label").hidden = categories.length < 2;
  find("#order").closest("label").hidden = !data.items.some((item) => item.nearest);
  for (const id of ["#category", "#order"]) find(id).addEventListener("change", arrange);

  // ---- the way past hundreds of cards ----

  const headings = [...document.querySelectorAll("main > section > h2")];
  headings.forEach((heading, number) => { heading.parentNode.id = `part-${number}`; });
  find("#parts").append(...headings.map((heading, number) =>
    element("a", { href: `#part-${number}` }, heading.textContent)));
  find("#parts").hidden = headings.length === 0;

  // ---- the dialog ----

  const dialog = find("#closer"), angles = { ...START };
  const sample = new Stage(find("#sample"), angles, { wheel: true });
  const training = new Stage(find("#training"), angles, { wheel: true });
  let parents = [];

  // All shapes of the dialog turn together.
  function link() {
    const stages = [sample, training, ...parents];
    for (const stage of stages) stage.linked = stages;
    for (const stage of parents) Object.assign(stage.look, { mode: sample.look.mode, size: sample.look.size });
  }
  link();
  let current = -1, turning = 0;

  const asMesh = () => find("#as-mesh").checked && data.items[current].mesh;

  function showSample() {
    const number = current, item = data.items[number];
    const cloud = embedded(`cloud-${number}`, item.cloud);
    const colour = asMesh() ? data.colours.mesh : data.colours.generated;
    find("#message").textContent = "";
    if (!asMesh()) return sample.show(cloud, item.cloud, { colour, plane: cloud });
    return loadMesh(number).then((shape) => {
      if (current === number && asMesh()) sample.show(shape, item.cloud, { colour, plane: cloud });
    }, (error) => {
      find("#message").textContent = error.message;
      find("#as-points").checked = true;
      sample.show(cloud, item.cloud, { colour: data.colours.generated });
    });
  }

  // Each side of the training shape as long as that of the sample: what the search compares.
  function fitted(shape, other) {
    const bounds = (positions) => [0, 1, 2].map((c) => {
      let low = Infinity, high = -Infinity;
      for (let i = c; i < positions.length; i += 3) {
        low = Math.min(low, positions[i]);
        high = Math.max(high, positions[i]);
      }
      return [low, high - low];
    });
    const own = bounds(shape.positions), wanted = bounds(other.positions);
    const factor = own.map(([, side], c) => (side > 1e-6 && wanted[c][1] > 1e-6 ? wanted[c][1] / side : 1));
    const positions = shape.positions.map((value, i) =>
      wanted[i % 3][0] + (value - own[i % 3][0]) * factor[i % 3]);
    const normals = shape.normals.map((value, i) => value / factor[i % 3]);
    for (let i = 0; i < normals.length; i += 3) {
      const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
      for (let c = 0; c < 3; c++) normals[i + c] /= length;
    }
    return { ...shape, positions, normals, heights: null };
  }

  function showTraining() {
    const number = current, item = data.items[number];
    if (!item.nearest) {
      training.shape = null;
      return;
    }
    const own = embedded(`near-${number}`, item.nearest.cloud), look = { colour: data.colours.training };
    if (!find("#stretched").checked) return training.show(own, item.nearest.cloud, { ...look, plane: own });
    const cloud = embedded(`cloud-${number}`, item.cloud);
    // Of the sample's side, from a little farther away: it may fill corners that the sample leaves.
    const frame = { ...item.cloud, distance: 1.12 * Math.max(item.cloud.distance, item.nearest.cloud.distance) };
    training.show(keep(`stretched-${number}`, () => fitted(own, cloud)), frame, { ...look, plane: cloud });
  }

  function showParents(item) {
    const named = item.parents || [], drawn = named.filter((one) => one.cloud);
    parents = [];
    find("#parents").replaceChildren(...drawn.map((one) => {
      const canvas = element("canvas", { "aria-label": `The parent ${one.id}, which rotates with the sample` });
      const stage = new Stage(canvas, angles, { wheel: true });
      parents.push(stage);
      const same = item.nearest && item.nearest.id === one.id ? ", the nearest one" : "";
      return element("figure", {}, canvas, element("figcaption", {}, `Parent: ${one.id}${same}`));
    }));
    link();
    parents.forEach((stage, k) =>
      stage.show(embedded(drawn[k].blob, drawn[k].cloud), drawn[k].cloud, { colour: data.colours.training }));
    const others = named.filter((one) => !one.cloud).map((one) => one.id);
    find("#other-parents").textContent = others.length ? `Parents that are not shown: ${others.join(", ")}` : "";
  }

  function rows(table, entries) {
    table.replaceChildren(...entries.map(([name, value]) =>
      element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, String(value)))));
  }

  function open(number) {
    const item = data.items[number];
    current = number;
    find("#name").textContent = `Sample ${nameOf(item, number)}`;
    find("#kind").textContent = item.category || "";
    find("#as-mesh").disabled = !item.mesh;
    find("#as-mesh").closest("label").title = item.mesh ? "" : "no mesh was given for this shape";
    if (!item.mesh) find("#as-points").checked = true;
    find("#training-side").hidden = !item.nearest;
    rows(find("#report"), item.report || []);
    find("#report-side").hidden = !(item.report || []).length;
    find("#files").replaceChildren(...(item.files || []).map((file) => element("li", {},
      element("a", { href: file.href, download: file.href.split("/").pop() }, file.label),
      element("small", {}, " " + file.size))));
    find("#files-side").hidden = !(item.files || []).length;
    Object.assign(angles, START);
    if (!dialog.open) dialog.showModal();
    history.replaceState(null, "", `#shape-${number}`);
    showSample();
    if (item.nearest) {
      find("#training-name").textContent = item.nearest.id;
      find("#training-distance").textContent = distance(item.nearest.distance);
      find("#training-note").textContent = item.nearest.note && ` (${item.nearest.note})`;
    }
    find("#stretched").closest("label").hidden = !item.nearest;
    showTraining();
    showParents(item);
  }

  function step(by) {
    const at = shownOrder.indexOf(current);
    open(shownOrder[(at + by + shownOrder.length) % shownOrder.length]);
  }

  dialog.addEventListener("close", () => {
    history.replaceState(null, "", location.pathname + location.search);
    stopTurning();
    const last = cards[current];
    if (last) last.focus();
  });
  find("#previous").addEventListener("click", () => step(-1));
  find("#next").addEventListener("click", () => step(1));
  find("#close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const typing = ["SELECT", "INPUT"].includes(event.target.tagName) && event.key.startsWith("Arrow");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || sample.key(event)) return;
    const keys = {
      PageDown: () => step(1), PageUp: () => step(-1), n: () => step(1), p: () => step(-1),
      m: () => { toggleMesh(); }, t: () => find("#turn").click(),
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  function toggleMesh() {
    if (!data.items[current].mesh) return;
    const to = find("#as-mesh").checked ? "#as-points" : "#as-mesh";
    find(to).checked = true;
    showSample();
  }
  for (const id of ["#as-points", "#as-mesh"]) find(id).addEventListener("change", showSample);
  find("#stretched").addEventListener("change", showTraining);
  find("#mode").addEventListener("change", (event) => {
    for (const stage of sample.linked) {
      stage.look.mode = event.target.value;
      stage.refresh();
    }
  });
  find("#size").addEventListener("input", (event) => {
    for (const stage of sample.linked) {
      stage.look.size = Number(event.target.value);
      stage.refresh();
    }
  });

  function stopTurning() {
    cancelAnimationFrame(turning);
    turning = 0;
    find("#turn").setAttribute("aria-pressed", "false");
  }
  find("#turn").addEventListener("click", () => {
    if (turning) return stopTurning();
    find("#turn").setAttribute("aria-pressed", "true");
    let last = performance.now();
    const spin = (now) => {
      sample.turn(Math.min(now - last, 100) * (calm.matches ? 0.008 : 0.03), 0);
      last = now;
      turning = requestAnimationFrame(spin);
    };
    turning = requestAnimationFrame(spin);
  });
  find("#picture").addEventListener("click", () => {
    sample.drawNow();
    const link = element("a", { href: sample.canvas.toDataURL("image/png"),
                                download: `${nameOf(data.items[current], current)}.png` });
    link.click();
  });

  // ---- the path between two shapes ----

  if (data.path) {
    const slider = find("#moment"), canvas = find("#between"), frames = data.path.frames;
    const stage = new Stage(canvas, { ...START });
    const frame = (k) => embedded(`frame-${k}`, frames[k]);
    const blended = (at) => {
      const early = Math.min(Math.floor(at), frames.length - 2), share = at - early;
      if (!data.path.matched || share < 1e-6) return frame(Math.round(at));
      const a = frame(early), b = frame(early + 1), mix = { ...a, heights: null };
      mix.positions = a.positions.map((value, i) => value + share * (b.positions[i] - value));
      mix.normals = share < 0.5 ? a.normals : b.normals;
      mix.light = share < 0.5 ? a.light : b.light;
      return mix;
    };
    const show = () => {
      const at = Number(slider.value);
      stage.show(blended(at), frames[0]);
      slider.setAttribute("aria-valuetext", `${Math.round(100 * at / (frames.length - 1))} % of the way`);
    };
    slider.addEventListener("input", show);
    canvas.addEventListener("keydown", (event) => stage.key(event));
    find("#strip").append(...frames.map((header, k) => {
      const button = element("button", { type: "button", "aria-label": `Frame ${k + 1} of ${frames.length}` },
        element("img", { src: header.thumbnail, alt: "", width: 120, height: 120 }));
      button.addEventListener("click", () => { slider.value = k; show(); });
      return element("li", {}, button);
    }));
    const near = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      near.disconnect();
      show();
    }, { rootMargin: "200px" });
    near.observe(canvas);
    addEventListener("resize", () => stage.refresh());
  }

  addEventListener("resize", () => { if (dialog.open) sample.linked.forEach((s) => s.refresh()); });
  if (!Scene.accelerated) find("#plain").hidden = false;
  const wanted = /^#shape-(\d+)$/.exec(location.hash);
  if (wanted && data.items[Number(wanted[1])]) open(Number(wanted[1]));

  return { receiveMesh };
})();
