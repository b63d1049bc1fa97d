// What the gallery draws with, out of three.js; `make three` bundles it into static/three.min.js.
export {
  BufferAttribute, BufferGeometry, CustomBlending, DataTexture, DoubleSide, GLSL3, LinearFilter, Mesh,
  OneFactor, OneMinusSrcAlphaFactor, PerspectiveCamera, PlaneGeometry, Points, RawShaderMaterial,
  RedFormat, Scene, Vector4, WebGLRenderer,
} from "three";
