"""What a newcomer reads when everything is up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Banner:
    """`setup_link` None: there is an administrator already. `live_site` None: no demo was asked for."""

    url: str
    data_dir: str
    setup_link: str | None = None
    live_site: str | None = None

    def __str__(self) -> str:
        rows = [("Dashboard", self.url)]
        if self.setup_link:
            rows.append(("Start here", f"{self.setup_link}  (one-time link: makes the first administrator)"))
        if self.live_site:
            rows.append(("Live site", self.live_site))
        rows.append(("Your own", f"scalemesh login {self.url} && scalemesh deploy https://github.com/you/your-app"))
        listed = "\n".join(f"  {name:<12}{value}" for name, value in rows)
        return f"\nScale Mesh is running.\n\n{listed}\n\nCtrl-C stops it; {self.data_dir} keeps everything.\n\n"
