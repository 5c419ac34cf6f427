"""The picture of the money path: nodes and edges from the declaration, drawn as SVG or Mermaid."""
