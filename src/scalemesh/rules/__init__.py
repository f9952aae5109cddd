"""How a path is answered: pure, no input or output, the same for the edge, `preview` and `explain`.

At deploy, `read.read_rules` turns the peers' rule files into Rules and complaints (`file:line: what is wrong`): one
module per format, `selectors` and `templates` for what they share, `limits` for what they may say. It never raises.
For a request, `decide.decide` turns what was asked and a `matching.Ready` into a Decision. Paths are percent-decoded,
NFC and absolute; `targets.parse_path` makes them so from what came over the wire.

`re` sees no request: patterns run in RE2, which is loaded only where a site has patterns. May import core and errors.
"""
