// Draws one shape with three.js: clouds as lit balls, meshes as smooth triangles, under the light
// of pcgen.render. One renderer serves the whole page: it draws into its own canvas, and the
// picture is copied to the 2D canvas of whoever asked. Without WebGL 2 a painter's algorithm
// draws the same things plainly.
"use strict";

const Scene = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const FIELD_OF_VIEW = data.field_of_view * Math.PI / 180, LIGHT = data.light;
  const MODES = { plain: 0, height: 1, normal: 2 };
  const KEPT_ON_GPU = 24;

  // ---- decoding: see pcgen/gallery/web_geometry.py ----

  function bytes(text) {
    const raw = atob(text.trim());
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out.buffer;
  }

  function unpack(header, text) {
    const n = header.count, buffer = bytes(text);
    const coded = new Uint16Array(buffer, 0, 3 * n);
    const octa = new Int8Array(buffer, 6 * n, 2 * n);
    const positions = new Float32Array(3 * n), normals = new Float32Array(3 * n);
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) {
        positions[3 * i + c] = header.low[c] + coded[3 * i + c] / 65535 * header.extent;
      }
      let x = octa[2 * i] / 127, y = octa[2 * i + 1] / 127;
      const z = 1 - Math.abs(x) - Math.abs(y);
      if (z < 0) {
        const flipped = (1 - Math.abs(y)) * (x >= 0 ? 1 : -1);
        y = (1 - Math.abs(x)) * (y >= 0 ? 1 : -1);
        x = flipped;
      }
      const length = Math.hypot(x, y, z) || 1;
      normals.set([x / length, y / length, z / length], 3 * i);
    }
    const shape = { header, count: n, positions, normals, light: new Uint8Array(buffer, 8 * n, n) };
    if (header.faces) {
      // The index is not aligned in the file: copy it.
      shape.index = new Uint32Array(buffer.slice(9 * n, 9 * n + 12 * header.faces));
    } else if (header.cells) {
      shape.ground = new Uint8Array(buffer, 9 * n, header.cells * header.cells);
    }
    return shape;
  }

  // ---- camera ----

  function axes(view) {
    const a = view.azimuth * Math.PI / 180, e = view.elevation * Math.PI / 180;
    const right = [Math.cos(a), 0, -Math.sin(a)];
    const towards = [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
    const up = [
      towards[1] * right[2] - towards[2] * right[1],
      towards[2] * right[0] - towards[0] * right[2],
      towards[0] * right[1] - towards[1] * right[0],
    ];
    return { right, up, towards };
  }

  // ---- WebGL, by three.js ----

  const COMMON = `
  precision highp float;
  uniform mat4 modelViewMatrix, projectionMatrix;
  uniform vec3 colour;
  uniform int mode;
  uniform vec2 heights;`;

  const float = (value) => value.toFixed(4), vec3 = (values) => `vec3(${values.map(float)})`;
  const SHADE = `
  vec3 toLinear(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
  vec3 toScreen(vec3 c) {
    c = clamp(c, 0.0, 1.0);
    return mix(c * 12.92, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
  }
  vec3 ramp(float t) {
    vec3 k[5] = vec3[5](${data.ramp.map(vec3)});
    float p = clamp(t, 0.0, 1.0) * 4.0;
    int i = min(int(p), 3);
    return mix(k[i], k[i + 1], p - float(i));
  }
  vec3 albedo(float height, vec3 worldNormal) {
    if (mode == 1) return toLinear(ramp(height));
    if (mode == 2) return toLinear(0.5 + 0.38 * worldNormal);
    return toLinear(colour);
  }
  // n, towards: in eye space; open: visible share of the sky. See pcgen/render/lighting.py.
  vec3 shade(vec3 base, vec3 n, vec3 towards, float open) {
    vec3 key = normalize(${vec3(LIGHT.key_from)});
    float soft = ${float(LIGHT.softness)};
    float cosine = max((dot(n, key) + soft) / (1.0 + soft), 0.0);
    float upward = 0.5 + 0.5 * dot(mat3(modelViewMatrix) * vec3(0.0, 1.0, 0.0), n);
    float sky = mix(${float(LIGHT.darkest)}, 1.0, pow(open, ${float(LIGHT.openness)}));
    float ambient = ${float(LIGHT.sky)} * sky * mix(${float(LIGHT.downward)}, 1.0, upward);
    float fill = max(dot(n, ${vec3(LIGHT.fill_from)}), 0.0);
    float rim = pow(1.0 - clamp(dot(n, towards), 0.0, 1.0), 3.0) * open;
    // There is no shadow map: occluded points get less of the key light.
    float total = ${float(LIGHT.key)} * cosine * smoothstep(0.05, 0.75, open) + ambient;
    return base * (total + ${float(LIGHT.fill)} * fill) + ${float(LIGHT.rim)} * rim;
  }`;

  const BALL_VERTEX = COMMON + `
  in vec3 position;
  in vec3 normal;
  in float light;
  uniform float radius, focal;
  uniform int given;
  out vec3 eye, side, worldNormal;
  out float open, height;
  flat out int kept;
  void main() {
    kept = gl_VertexID < given ? 1 : 0;
    vec4 place = modelViewMatrix * vec4(position, 1.0);
    eye = place.xyz;
    side = mat3(modelViewMatrix) * normal;
    worldNormal = normal;
    open = light;
    height = (position.y - heights.x) / heights.y;
    gl_Position = projectionMatrix * place;
    gl_PointSize = max(2.0 * radius * focal / -place.z, 1.5);
  }`;

  const BALL_FRAGMENT = COMMON + SHADE + `
  uniform float radius;
  in vec3 eye, side, worldNormal;
  in float open, height;
  flat in int kept;
  out vec4 result;
  void main() {
    vec2 at = vec2(2.0, -2.0) * gl_PointCoord + vec2(-1.0, 1.0);
    float away = dot(at, at);
    if (away > 1.0) discard;
    vec3 ball = vec3(at, sqrt(1.0 - away));
    vec3 towards = normalize(-eye);
    vec3 n = side * (dot(side, towards) < 0.0 ? -1.0 : 1.0);
    n = normalize(0.58 * n + 0.42 * ball);
    vec4 front = projectionMatrix * vec4(eye + vec3(0.0, 0.0, radius * ball.z), 1.0);
    gl_FragDepth = 0.5 * front.z / front.w + 0.5;
    vec3 base = kept == 1 && mode == 0
      ? toLinear(${vec3(data.colours.given)}) : albedo(height, worldNormal);
    result = vec4(toScreen(shade(base, n, towards, open)), 1.0);
  }`;

  const MESH_VERTEX = COMMON + `
  in vec3 position;
  in vec3 normal;
  in float light;
  out vec3 eye, side, worldNormal;
  out float open, height;
  void main() {
    vec4 place = modelViewMatrix * vec4(position, 1.0);
    eye = place.xyz;
    side = mat3(modelViewMatrix) * normal;
    worldNormal = normal;
    open = light;
    height = (position.y - heights.x) / heights.y;
    gl_Position = projectionMatrix * place;
  }`;

  const MESH_FRAGMENT = COMMON + SHADE + `
  in vec3 eye, side, worldNormal;
  in float open, height;
  out vec4 result;
  void main() {
    vec3 flat_ = normalize(cross(dFdx(eye), dFdy(eye)));
    vec3 n = normalize(side);
    if (dot(n, flat_) < 0.0) n = -n;
    result = vec4(toScreen(shade(albedo(height, worldNormal), n, normalize(-eye), open)), 1.0);
  }`;

  const GROUND_VERTEX = COMMON + `
  in vec3 position;
  uniform vec4 ground;
  out vec2 at;
  void main() {
    at = position.xy * 0.5 + 0.5;
    vec3 place = vec3(ground.x + position.x * ground.w, ground.y, ground.z + position.y * ground.w);
    gl_Position = projectionMatrix * modelViewMatrix * vec4(place, 1.0);
  }`;

  const GROUND_FRAGMENT = COMMON + `
  uniform sampler2D dark;
  in vec2 at;
  out vec4 result;
  void main() { result = vec4(0.0, 0.0, 0.0, texture(dark, at.yx).r * 0.8); }`;

  class Gpu {
    constructor() {
      this.canvas = document.createElement("canvas");
      // Asked for here: three.js reports a missing WebGL as an error on the console.
      const context = this.canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: true });
      if (!context) throw new Error("no WebGL 2");
      this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, context });
      this.renderer.setClearColor(0x000000, 0);
      this.renderer.setPixelRatio(1);
      this.camera = new THREE.PerspectiveCamera();
      this.balls = material(BALL_VERTEX, BALL_FRAGMENT, { radius: 1, focal: 1, given: 0 });
      this.triangles = material(MESH_VERTEX, MESH_FRAGMENT, {}, { side: THREE.DoubleSide });
      // Premultiplied black, under everything else.
      this.floor = new THREE.Mesh(new THREE.PlaneGeometry(2, 2), material(
        GROUND_VERTEX, GROUND_FRAGMENT, { dark: null, ground: new THREE.Vector4() }, {
          depthTest: false, depthWrite: false, side: THREE.DoubleSide, blending: THREE.CustomBlending,
          blendSrc: THREE.OneFactor, blendDst: THREE.OneMinusSrcAlphaFactor,
        }));
      this.floor.renderOrder = -1;
      this.floor.frustumCulled = false;
      this.held = new Map();  // a shape's object and ground, the most recently used last
    }

    get lost() { return this.renderer.getContext().isContextLost(); }

    hold(shape) {
      const held = this.held.get(shape) || made(shape, shape.index ? this.triangles : this.balls);
      this.held.delete(shape);
      this.held.set(shape, held);
      for (const [old, { object, ground }] of this.held) {
        if (this.held.size <= KEPT_ON_GPU) break;
        this.held.delete(old);
        object.geometry.dispose();
        if (ground) ground.dispose();
      }
      return held;
    }

    draw(canvas, shape, view, look) {
      if (this.lost) return false;
      const width = canvas.width, height = canvas.height;
      // Drawn twice as large and scaled down: smooth edges, also where balls discard pixels.
      const over = width * height > 1.5e6 ? 1 : 2;
      if (this.canvas.width !== over * width || this.canvas.height !== over * height) {
        this.renderer.setSize(over * width, over * height, false);
      }
      this.aim(view, width / height);
      const { object } = this.hold(shape), scene = new THREE.Scene();
      object.material.set({
        colour: look.colour, mode: MODES[look.mode] || 0, heights: span(shape),
        radius: shape.header.radius * (look.size || 1), given: shape.header.given || 0,
        focal: over * Math.min(width, height) / 2 / Math.tan(FIELD_OF_VIEW / 2),
      });
      scene.add(object);
      const plane = look.plane || shape;
      if (look.ground !== false && plane.ground && view.elevation > 3) {
        const dark = this.hold(plane).ground;
        this.floor.material.set({ dark, ground: new THREE.Vector4(...plane.header.ground) });
        scene.add(this.floor);
      }
      this.renderer.render(scene, this.camera);
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, width, height);
      pen.drawImage(this.canvas, 0, 0, width, height);
      return true;
    }

    aim(view, aspect) {
      const camera = this.camera, { towards } = axes(view);
      // The field of view is that of the shorter side; three.js takes the vertical one.
      const tall = Math.max(1 / aspect, 1) * Math.tan(FIELD_OF_VIEW / 2);
      Object.assign(camera, {
        fov: 2 * Math.atan(tall) * 180 / Math.PI, aspect,
        near: view.distance * 0.02, far: view.distance * 6,
      });
      camera.position.set(...view.target.map((value, c) => value + view.distance * towards[c]));
      camera.lookAt(...view.target);
      camera.updateProjectionMatrix();
    }
  }

  function material(vertexShader, fragmentShader, values, more = {}) {
    const start = { colour: [1, 1, 1], mode: 0, heights: [0, 1], ...values };
    const uniforms = Object.fromEntries(Object.entries(start).map(([name, value]) => [name, { value }]));
    const made = new THREE.RawShaderMaterial({
      vertexShader, fragmentShader, uniforms, glslVersion: THREE.GLSL3, ...more });
    made.set = (changed) => {
      for (const [name, value] of Object.entries(changed)) if (uniforms[name]) uniforms[name].value = value;
      made.uniformsNeedUpdate = true;
    };
    return made;
  }

  function made(shape, material) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(shape.positions, 3));
    geometry.setAttribute("normal", new THREE.BufferAttribute(shape.normals, 3));
    geometry.setAttribute("light", new THREE.BufferAttribute(shape.light, 1, true));
    if (shape.index) geometry.setIndex(new THREE.BufferAttribute(shape.index, 1));
    const object = new (shape.index ? THREE.Mesh : THREE.Points)(geometry, material);
    object.frustumCulled = false;
    let ground = null;
    if (shape.ground) {
      const side = shape.header.cells;
      ground = new THREE.DataTexture(shape.ground, side, side, THREE.RedFormat);
      ground.minFilter = ground.magFilter = THREE.LinearFilter;
      ground.needsUpdate = true;
    }
    return { object, ground };
  }

  function span(shape) {
    if (!shape.heights) {
      let low = Infinity, high = -Infinity;
      for (let i = 1; i < shape.positions.length; i += 3) {
        low = Math.min(low, shape.positions[i]);
        high = Math.max(high, shape.positions[i]);
      }
      shape.heights = [low, Math.max(high - low, 1e-6)];
    }
    return shape.heights;
  }

  // ---- without WebGL: far to near ----

  function paint(canvas, shape, view, look) {
    const width = canvas.width, height = canvas.height, pen = canvas.getContext("2d");
    const { right, up, towards } = axes(view), n = shape.count, p = shape.positions;
    const focal = Math.min(width, height) / 2 / Math.tan(FIELD_OF_VIEW / 2);
    const x = new Float32Array(n), y = new Float32Array(n), depth = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const d = [0, 1, 2].map((c) => p[3 * i + c] - view.target[c]);
      const along = (axis) => axis[0] * d[0] + axis[1] * d[1] + axis[2] * d[2];
      depth[i] = view.distance - along(towards);
      x[i] = width / 2 + focal * along(right) / depth[i];
      y[i] = height / 2 - focal * along(up) / depth[i];
    }
    const tone = (i) => {
      const k = 3 * i, m = shape.normals;
      let cosine = 0, facing = 0;
      for (let c = 0; c < 3; c++) {
        cosine += m[k + c] * (-0.49 * right[c] + 0.67 * up[c] + 0.54 * towards[c]);
        facing += m[k + c] * towards[c];
      }
      const light = 0.55 + 0.45 * Math.max(facing < 0 ? -cosine : cosine, 0);
      const open = 0.45 + 0.55 * shape.light[i] / 255;
      const base = i < shape.header.given ? data.colours.given : look.colour;
      const rgb = base.map((c) => Math.round(255 * Math.min(1, 1.1 * c * light * open)));
      return `rgb(${rgb.join(",")})`;
    };
    pen.clearRect(0, 0, width, height);
    if (shape.index) {
      const f = shape.index, count = f.length / 3;
      const far = (t) => depth[f[3 * t]] + depth[f[3 * t + 1]] + depth[f[3 * t + 2]];
      const order = Array.from({ length: count }, (_, t) => t).sort((a, b) => far(b) - far(a));
      for (const t of order) {
        const [a, b, c] = [f[3 * t], f[3 * t + 1], f[3 * t + 2]];
        pen.fillStyle = pen.strokeStyle = tone(a);
        pen.beginPath();
        pen.moveTo(x[a], y[a]);
        pen.lineTo(x[b], y[b]);
        pen.lineTo(x[c], y[c]);
        pen.closePath();
        pen.fill();
        pen.stroke();
      }
    } else {
      const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => depth[b] - depth[a]);
      for (const i of order) {
        const radius = shape.header.radius * (look.size || 1) * focal / depth[i];
        pen.fillStyle = tone(i);
        pen.beginPath();
        pen.arc(x[i], y[i], Math.max(radius, 0.7), 0, 2 * Math.PI);
        pen.fill();
      }
    }
  }

  let gpu = null;
  try {
    gpu = new Gpu();
  } catch (error) {
    gpu = null;  // paint() draws instead, and the footer says so
  }

  function draw(canvas, shape, view, look) {
    if (!gpu || !gpu.draw(canvas, shape, view, look)) paint(canvas, shape, view, look);
  }

  return { data, draw, unpack, get accelerated() { return gpu !== null && !gpu.lost; } };
})();
