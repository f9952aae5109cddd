"""How a path is answered: pure, no input or output, the same for the edge, `preview` and `explain`.

`decide.decide` turns a request and a deployment's Rules into a Decision. Paths are percent-decoded, NFC and absolute;
`targets.parse_path` makes them so from what came over the wire. May import core and errors alone.
"""
