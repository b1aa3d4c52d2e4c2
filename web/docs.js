// Shows the description that lies beside this page, under whatever prefix it is served.
const base = location.pathname.replace(/\/docs\/?$/, "");
SwaggerUIBundle({ url: base + "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
