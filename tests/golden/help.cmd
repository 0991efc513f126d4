# What the program says about itself.
trine
trine --help
trine --version
trine help hash
trine generate --help
