"""The diagram of the money path, drawn from the declaration as SVG or Mermaid."""
