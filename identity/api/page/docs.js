"use strict";

// "Try it out" goes to where this page came from, by whichever of its names the service was reached.
const here = new URL(".", window.location.href).href.replace(/\/$/, "");

function goToCode() {
  const code = window.location.hash && document.getElementById(window.location.hash.slice(1));
  if (code) code.scrollIntoView();
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then((spec) => {
    SwaggerUIBundle({
      spec: { ...spec, servers: [{ url: here }] },
      dom_id: "#operations",
      docExpansion: "list",
      defaultModelsExpandDepth: 0,
      persistAuthorization: false,
      queryConfigEnabled: false,
      validatorUrl: null,
      onComplete: goToCode,
    });
  });
