'use strict';

const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();

SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: '/openapi.json',
  layout: 'BaseLayout',
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: 'none',
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
  // Without this the page asks a server of its makers about the document.
  validatorUrl: null,
  // Who is signed in by cookie proves with this that a change comes from our own page.
  requestInterceptor: (request) => {
    const csrf = document.cookie.match(/(?:^|; )(?:__Host-)?mm_csrf=([^;]+)/);
    if (csrf && !request.headers.Authorization) request.headers['X-CSRF-Token'] = csrf[1];
    return request;
  },
});
