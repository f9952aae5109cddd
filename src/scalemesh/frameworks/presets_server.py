"""Presets of frameworks that have a server: what makes each of them static, and the lines that say so.

META build a site and can often do without the server; BACKENDS never can; WEAK are languages, recognised only where
there is nothing else.
"""

from scalemesh.frameworks import outputs
from scalemesh.frameworks.preset import Dep, Path, Preset, Script, Static, paths

_VITE_SSR_OFF = paths("vite.config", contains=r"\bssr\s*:\s*false")
_ENTRYPOINTS = tuple(
    Path(f"{folder}{stem}.{ext}")
    for folder in ("", "src/")
    for stem in ("app", "index", "server")
    for ext in ("js", "mjs", "cjs", "ts", "mts", "cts")
)

_NEXT = Static(
    when=(
        *paths("next.config", contains=r"\boutput\s*:\s*['\"`]export"),
        Script("next export"),
        Script("next export", "vercel-build"),
    ),
    output=outputs.next_export,
)
_NEXT_REMEDY = (
    "In next.config.js (or .mjs, .ts) add:\n  module.exports = { output: 'export', images: { unoptimized: true } }"
)

META: dict[str, tuple[Preset, ...]] = {
    "nextjs": (
        Preset(slug="blitzjs", name="Blitz.js", some=(Path("blitz.config.js"), Path("blitz.config.ts"), Dep("blitz")),
               build="blitz build", server=True, static=(_NEXT,), remedy=_NEXT_REMEDY, immutable=("_next/static/",)),
        Preset(slug="nextjs", name="Next.js", every=(Dep("next"),), build="next build", server=True, static=(_NEXT,),
               remedy=_NEXT_REMEDY, immutable=("_next/static/",)),
    ),
    "remix": (
        Preset(slug="remix", name="Remix", build="remix build", server=True, supersedes=("hydrogen", "vite", "node"),
               some=(Dep("@remix-run/dev"), Path("remix.config.js"), Path("remix.config.mjs")), immutable=("assets/",),
               static=(Static(_VITE_SSR_OFF, "build/client", build="remix vite:build"),),
               remedy="In vite.config.ts set:\n  remix({ ssr: false })"),
    ),
    "react-router": (
        Preset(slug="react-router", name="React Router", build="react-router build", server=True,
               immutable=("assets/",),
               some=(*paths("vite.config", contains=r"@react-router/dev/vite"), *paths("react-router.config")),
               supersedes=("hydrogen", "vite", "node"),
               static=(Static(paths("react-router.config", contains=r"\bssr\s*:\s*false"), "build/client"),),
               remedy="In react-router.config.ts set:\n  export default { ssr: false }"),
    ),
    "astro": (
        Preset(slug="astro", name="Astro", every=(Dep("astro"),), build="astro build",
               output=outputs.setting("astro.config", "outDir", "dist"), immutable=("_astro/",),
               dynamic=paths("astro.config", contains=r"\boutput\s*:\s*['\"`](server|hybrid)"),
               remedy="In astro.config.mjs write `output: 'static'` instead, and remove the adapter."),
    ),
    "solidstart": (
        Preset(slug="solidstart-1", name="SolidStart", every=(Dep("solid-js"), Dep("@solidjs/start")),
               build="vinxi build", server=True, immutable=("_build/assets/",), supersedes=("vite",),
               static=(Static(paths("app.config", contains=r"preset\s*:\s*['\"`]static"), ".output/public"),
                       Static(paths("app.config", contains=r"\bssr\s*:\s*false"), ".output/public")),
               remedy="In app.config.ts set:\n  export default defineConfig({ server: { preset: \"static\" } })"),
        Preset(slug="solidstart", name="SolidStart 0", every=(Dep("solid-js"), Dep("solid-start")),
               supersedes=("vite",),
               build="solid-start build", server=True,
               static=(Static((Dep("solid-start-static"),), "dist/public"),),
               remedy="Install solid-start-static and use it as the adapter in vite.config.ts."),
    ),
    "analog": (
        Preset(slug="analog", name="Analog", every=(Dep("@analogjs/platform"),), build="vite build", server=True,
               supersedes=("vite", "angular"), output="dist/analog/public",
               static=(Static(paths("vite.config", contains=r"\bstatic\s*:\s*true|\bssr\s*:\s*false"),
                              "dist/analog/public"),),
               remedy="In vite.config.ts set:\n  analog({ static: true })"),
    ),
    "sveltekit": (
        Preset(slug="sveltekit-1", name="SvelteKit", every=(Dep("@sveltejs/kit"),), build="vite build", server=True,
               immutable=("_app/immutable/",), supersedes=("vite",),
               static=(Static(paths("svelte.config", contains=r"@sveltejs/adapter-static"),
                              outputs.setting("svelte.config", "pages", "build")),),
               remedy="Run `npm install -D @sveltejs/adapter-static`; in svelte.config.js write:\n"
                      "  import adapter from '@sveltejs/adapter-static';\n"
                      "and in src/routes/+layout.js:\n  export const prerender = true;"),
    ),
    "nuxtjs": (
        Preset(slug="nuxtjs", name="Nuxt", some=(Dep("nuxt"), Dep("nuxt3"), Dep("nuxt-edge"), Dep("nuxt-nightly")),
               build="nuxt build", server=True, immutable=("_nuxt/",), supersedes=("nitro", "vite"),
               static=(Static((Script(r"nux(t|i) generate"),), outputs.nuxt),
                       Static((Script(r"nux(t|i) generate", "generate"),), outputs.nuxt, script="generate"),
                       Static(paths("nuxt.config", contains=r"\bssr\s*:\s*false|preset\s*:\s*['\"`]static"),
                              outputs.nuxt, build="nuxt generate")),
               remedy='In package.json add the script:\n  "generate": "nuxt generate"'),
    ),
    "redwoodjs": (
        Preset(slug="redwoodjs", name="RedwoodJS", every=(Dep("@redwoodjs/core"),), build="yarn rw deploy vercel",
               server=True, static=(Static((Script(r"rw build web"),), "web/dist"),),
               remedy='In package.json add the script:\n  "build": "rw build web"'),
    ),
    "hydrogen": (
        Preset(slug="hydrogen", name="Hydrogen", build="shopify hydrogen build", server=True, supersedes=("vite",),
               some=(Dep("@shopify/hydrogen"), Path("hydrogen.config.js"), Path("hydrogen.config.ts")),
               remedy="Hydrogen renders on a server; it has no static output."),
    ),
    "qwik": (
        Preset(slug="qwik", name="Qwik", some=(Dep("@builder.io/qwik-city"), Dep("@qwik.dev/router")),
               build="vite build", server=True, immutable=("build/", "assets/"), supersedes=("vite",),
               static=(Static((*paths("adapters/static/vite.config"), *paths("adapters/ssg/vite.config")), "dist"),),
               remedy="Run `npm run qwik add static`."),
    ),
    "vike": (
        Preset(slug="vike", name="Vike", some=(Dep("vike"), Dep("vite-plugin-ssr")), build="vike build", server=True,
               immutable=("assets/",), supersedes=("vite",),
               static=(Static((*paths("pages/+config", contains=r"\bprerender\s*:\s*(true|\{)"),
                               *paths("vite.config", contains=r"\bprerender\s*:\s*(true|\{)")), "dist/client"),),
               remedy="In pages/+config.js set:\n  export default { prerender: true }"),
    ),
    "waku": (
        Preset(slug="waku", name="Waku", every=(Dep("waku"),), build="waku build", output="dist/public",
               immutable=("assets/",), supersedes=("vite",)),
    ),
    "tanstack-start": (
        Preset(slug="tanstack-start", name="TanStack Start", build="vite build", server=True, immutable=("assets/",),
               some=(Dep("@tanstack/react-start"), Dep("@tanstack/solid-start"), Dep("@tanstack/start")),
               supersedes=("ionic-react", "vite"),
               static=(Static(paths("vite.config", contains=r"\b(spa|prerender)\s*:\s*\{[^}]{0,500}enabled\s*:\s*true"),
                              "dist/client"),),
               remedy="In vite.config.ts set:\n  tanstackStart({ prerender: { enabled: true } })"),
    ),
    "nitro": (
        Preset(slug="nitro", name="Nitro", some=(Dep("nitropack"), Dep("nitro")), build="nitro build", server=True,
               supersedes=("vite",),
               static=(Static(paths("nitro.config", contains=r"preset\s*:\s*['\"`](static|github_pages)"),
                              ".output/public"),),
               remedy="In nitro.config.ts set:\n  export default defineNitroConfig({ preset: \"static\" })"),
    ),
}  # fmt: skip

_ONLY_FILES = "Set the output directory to the folder that has the files, or deploy the server elsewhere."


def _node(slug: str, name: str, package: str) -> Preset:
    entry = tuple(Path(e.path, rf"""(from|require\(|import)\s*['"]{package}""") for e in _ENTRYPOINTS)
    if slug == "nestjs":
        entry += paths("src/main", "js mjs cjs ts mts cts", r"@nestjs/core")
    return Preset(slug=slug, name=name, every=(Dep(package),), some=entry, server=True, supersedes=("node",),
                  remedy=_ONLY_FILES)  # fmt: skip


def _python(slug: str, name: str, pattern: str, *more: Path) -> Preset:
    files = tuple(Path(f, pattern) for f in ("requirements.txt", "pyproject.toml", "Pipfile"))
    return Preset(slug=slug, name=name, some=(*files, *more), server=True, supersedes=("python",), remedy=_ONLY_FILES)


BACKENDS = (
    _python("fastapi", "FastAPI", r"(?i)\bfastapi\b"),
    _python("flask", "Flask", r"(?i)\bflask\b"),
    _python("fasthtml", "FastHTML", r"(?i)\bpython-fasthtml\b"),
    _python("django", "Django", r"(?i)\bdjango\b", Path("manage.py", r"DJANGO_SETTINGS_MODULE")),
    _node("hono", "Hono", "hono"),
    _node("express", "Express", "express"),
    _node("h3", "H3", "h3"),
    _node("koa", "Koa", "koa"),
    _node("nestjs", "NestJS", "@nestjs/core"),
    _node("elysia", "Elysia", "elysia"),
    _node("fastify", "Fastify", "fastify"),
    Preset(slug="xmcp", name="xmcp", some=(*paths("xmcp.config", "js ts"), Dep("xmcp")), server=True,
           remedy=_ONLY_FILES),
    Preset(slug="mastra", name="Mastra", every=(Dep("mastra"),), server=True, remedy=_ONLY_FILES),
)  # fmt: skip

WEAK = (
    Preset(slug="python", name="Python", some=(Path("requirements.txt"), Path("pyproject.toml"), Path("Pipfile")),
           server=True, weak=True, remedy=_ONLY_FILES),
    Preset(slug="ruby", name="Ruby", every=(Path("config.ru"), Path("Gemfile")), server=True, weak=True,
           remedy=_ONLY_FILES),
    Preset(slug="rust", name="Rust", every=(Path("Cargo.toml"), Path("src/main.rs")), server=True, weak=True,
           remedy=_ONLY_FILES),
    Preset(slug="go", name="Go", every=(Path("go.mod"),), server=True, weak=True, remedy=_ONLY_FILES,
           some=(Path("main.go"), Path("cmd/api/main.go"), Path("cmd/server/main.go"))),
    Preset(slug="node", name="Node", some=_ENTRYPOINTS, server=True, weak=True, remedy=_ONLY_FILES),
)  # fmt: skip
