//! The wires: REST, WebSocket, SSE, OpenAPI, the web page.
