// A few shapes that turn, for a notebook: each canvas drags its own, or all turn together.
"use strict";

(() => {
  const data = Scene.data;
  const canvases = [...document.querySelectorAll("canvas")];
  const start = { azimuth: data.azimuth, elevation: data.elevation };

  canvases.forEach((canvas, number) => {
    const item = data.items[number];
    const shape = Scene.unpack(item.header, document.getElementById("shape-" + number).textContent);
    const view = { ...start };
    const look = { colour: data.colours[item.colour], mode: "plain", size: 1, ground: false };
    const { target, distance } = item.header;

    function draw() {
      const side = Math.max(canvas.clientWidth, 1), ratio = window.devicePixelRatio || 1;
      canvas.width = canvas.height = Math.round(side * ratio);
      Scene.draw(canvas, shape, { ...view, target, distance }, look);
    }
    function turn(right, up) {
      view.azimuth += right;
      view.elevation = Math.max(-89, Math.min(89, view.elevation + up));
      requestAnimationFrame(draw);
    }
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const side = Math.max(canvas.clientWidth, 1);
      turn(-(event.clientX - last[0]) / side * 220, (event.clientY - last[1]) / side * 160);
      last = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, 8], ArrowDown: [0, -8] };
      if (!turns[event.key]) return;
      event.preventDefault();
      turn(...turns[event.key]);
    });
    new ResizeObserver(draw).observe(canvas);
    draw();
  });
})();
