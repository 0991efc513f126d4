# A chip and a system of the catalog, and one's own.
printf 'chips:\n  x1:\n    like: l40s\n    name: Example X1\n    memory: 24GiB\n    memory_visible: null\n' >mine.yaml
trine show chip l40s
trine show system meta-llama3
trine show network ib-hdr
trine show site idris
trine show chip x1 --catalog mine.yaml --json
