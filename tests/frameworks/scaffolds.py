"""What `make test-frameworks` builds: by each framework's own scaffolder, or as its guide begins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

Files = Mapping[str, str]


@dataclass(frozen=True)
class Scaffold:
    """`argv` writes into `app/`; `files` are written over what it made (`scripts` into its package.json).

    `shows`: a text of the page at `path`, once its scripts have run. `package`: whose version the table names.
    """

    name: str
    framework: str | None
    package: str
    shows: str
    argv: tuple[str, ...] = ()
    files: Files = field(default_factory=dict)
    scripts: Files = field(default_factory=dict)
    dev: Files = field(default_factory=dict)
    path: str = "/"


def vite(template: str, shows: str) -> Scaffold:
    argv = ("npm", "create", "-y", "vite@latest", "app", "--", "--template", template, "--no-interactive")
    return Scaffold(f"Vite ({template})", "vite", "vite", shows, argv)


def project(build: str, **dependencies: str) -> str:
    """A package.json; names with `_` for what a keyword cannot have come as `at__scope__name`."""
    names = {name.replace("at__", "@").replace("__", "/").replace("_", "-"): v for name, v in dependencies.items()}
    return json.dumps({"name": "site", "private": True, "scripts": {"build": build}, "dependencies": names}, indent=2)


HEADING = "Hello from Scale Mesh"
MARKDOWN = f"# {HEADING}\n\nBuilt by a real generator.\n"
HTML = f"<!doctype html><title>{HEADING}</title><body><h1>{HEADING}</h1></body>"

HEXO = project(
    "hexo generate",
    hexo="latest",
    hexo_generator_index="latest",
    hexo_renderer_ejs="latest",
    hexo_renderer_marked="latest",
    hexo_renderer_stylus="latest",
    hexo_theme_landscape="latest",
)

# Tried, and stopped by what the registry or the network of the run did not give: these prove nothing about us.
NOT_BUILT = {
    "Ember": "its scaffold asks for a package version that the registry did not have",
    "Gatsby": "the install script of a dependency downloads from GitHub, which the network did not reach",
    "Qwik (Vite)": "its scaffold asks for a package version that the registry did not have",
    "Umi": "one of its packages names a version that the registry did not have",
    "Vike": "the least project that was tried left no page where its preset looks; nobody has looked into it yet",
    "VuePress": "version 2 was not in the registry",
}

SCAFFOLDS: tuple[Scaffold, ...] = (
    vite("react-ts", "Get started"),
    vite("vue-ts", "Get started"),
    vite("svelte-ts", "Get started"),
    vite("preact-ts", "Get started"),
    vite("solid-ts", "Get started"),
    vite("lit-ts", "Get started"),
    vite("vanilla-ts", "Get started"),
    Scaffold(
        "Astro",
        "astro",
        "astro",
        HEADING,
        files={"package.json": project("astro build", astro="latest"), "src/pages/index.astro": HTML},
    ),
    Scaffold(
        "Starlight",
        "astro",
        "@astrojs/starlight",
        HEADING,
        files={
            "package.json": project("astro build", astro="latest", at__astrojs__starlight="latest", sharp="latest"),
            "astro.config.mjs": "import { defineConfig } from 'astro/config';\n"
            "import starlight from '@astrojs/starlight';\n"
            "export default defineConfig({ integrations: [starlight({ title: 'Docs' })] });\n",
            "src/content.config.ts": "import { defineCollection } from 'astro:content';\n"
            "import { docsLoader } from '@astrojs/starlight/loaders';\n"
            "import { docsSchema } from '@astrojs/starlight/schema';\n"
            "export const collections = { docs: defineCollection({ loader: docsLoader(), schema: docsSchema() }) };\n",
            "src/content/docs/index.md": f"---\ntitle: {HEADING}\n---\nText.\n",
        },
    ),
    Scaffold(
        "Next.js (export)",
        "nextjs",
        "next",
        "get started",
        (
            *("npx", "-y", "create-next-app@latest", "app", "--ts", "--no-linter", "--no-tailwind", "--app", "--yes"),
            *("--no-src-dir", "--import-alias", "@/*", "--skip-install", "--disable-git", "--use-npm"),
        ),
        {
            "next.config.ts": "export default { output: 'export' };\n",
            # The scaffold's own asks Google for fonts, which not every machine reaches.
            "app/layout.tsx": "import './globals.css';\n"
            "export default function Layout({ children }: { children: React.ReactNode }) "
            "{ return <html><body>{children}</body></html>; }\n",
        },
    ),
    Scaffold(
        "Nuxt (generate)",
        "nuxtjs",
        "nuxt",
        HEADING,
        files={
            "package.json": project("nuxt generate", nuxt="latest", vue="latest"),
            "nuxt.config.ts": "export default defineNuxtConfig({ compatibilityDate: '2026-01-01' })\n",
            "app/app.vue": f"<template><h1>{HEADING}</h1></template>\n",
        },
    ),
    Scaffold(
        "SvelteKit (static)",
        "sveltekit-1",
        "@sveltejs/kit",
        "Welcome to SvelteKit",
        (
            "npx",
            "-y",
            "sv@latest",
            "create",
            "app",
            "--template",
            "minimal",
            "--types",
            "ts",
            "--no-add-ons",
            "--no-install",
        ),
        {
            "svelte.config.js": "import adapter from '@sveltejs/adapter-static';\n"
            "export default { kit: { adapter: adapter() } };\n",
            "src/routes/+layout.ts": "export const prerender = true;\n",
        },
        dev={"@sveltejs/adapter-static": "^3"},
    ),
    Scaffold(
        "Docusaurus",
        "docusaurus-2",
        "@docusaurus/core",
        "Dinosaurs are cool",
        ("npx", "-y", "create-docusaurus@latest", "app", "classic", "--javascript", "--skip-install"),
    ),
    Scaffold(
        "Angular",
        "angular",
        "@angular/core",
        "Congratulations",
        (
            *("npx", "-y", "@angular/cli@latest", "new", "app", "--defaults", "--skip-install", "--skip-git"),
            *("--ssr", "false"),
        ),
    ),
    Scaffold(
        "Rsbuild",
        None,
        "@rsbuild/core",
        HEADING,
        files={
            "package.json": project("rsbuild build", at__rsbuild__core="latest"),
            "src/index.js": f"document.body.append('{HEADING}');\n",
        },
    ),
    Scaffold(
        "Waku",
        "waku",
        "waku",
        "Waku",
        ("npm", "create", "-y", "waku@latest", "--", "--project-name", "app"),
    ),
    Scaffold(
        "VitePress",
        "vitepress",
        "vitepress",
        HEADING,
        files={"package.json": project("vitepress build docs", vitepress="latest"), "docs/index.md": MARKDOWN},
    ),
    Scaffold(
        "Eleventy",
        "eleventy",
        "@11ty/eleventy",
        HEADING,
        files={"package.json": project("eleventy", at__11ty__eleventy="latest"), "index.md": MARKDOWN},
    ),
    Scaffold(
        "Hexo",
        "hexo",
        "hexo",
        HEADING,
        files={
            "package.json": json.dumps(
                {**json.loads(HEXO), "hexo": {"version": ""}},  # what tells its command that a site is here
            ),
            "_config.yml": "title: Site\ntheme: landscape\nurl: http://example.org\n",
            "source/_posts/hello.md": f"---\ntitle: {HEADING}\ndate: 2026-01-01\n---\nText.\n",
        },
    ),
    Scaffold(
        "Parcel",
        "parcel",
        "parcel",
        HEADING,
        files={"package.json": project("parcel build index.html", parcel="latest"), "index.html": HTML},
    ),
    Scaffold(
        "React Router (SPA)",
        "react-router",
        "@react-router/dev",
        HEADING,
        files={
            "package.json": json.dumps(
                {
                    "name": "site",
                    "private": True,
                    "type": "module",
                    "scripts": {"build": "react-router build"},
                    "dependencies": {
                        "@react-router/dev": "latest",
                        "@react-router/node": "latest",
                        "isbot": "latest",
                        "react": "latest",
                        "react-dom": "latest",
                        "react-router": "latest",
                        "vite": "^7",
                    },
                }
            ),
            "react-router.config.js": "export default { ssr: false };\n",
            "vite.config.js": "import { reactRouter } from '@react-router/dev/vite';\n"
            "export default { plugins: [reactRouter()] };\n",
            "app/routes.js": "import { index } from '@react-router/dev/routes';\nexport default [index('home.jsx')];\n",
            "app/home.jsx": f"export default function Home() {{ return <h1>{HEADING}</h1>; }}\n",
            "app/root.jsx": "import { Outlet, Scripts } from 'react-router';\n"
            "export default function Root() { return <html><body><Outlet /><Scripts /></body></html>; }\n",
        },
    ),
    Scaffold(
        "Create React App",
        "create-react-app",
        "react-scripts",
        HEADING,
        files={
            "package.json": project("react-scripts build", react="^18", react_dom="^18", react_scripts="latest"),
            "public/index.html": '<!doctype html><title>CRA</title><div id="root"></div>',
            "src/index.js": "import { createRoot } from 'react-dom/client';\n"
            f"createRoot(document.getElementById('root')).render(<h1>{HEADING}</h1>);\n",
        },
    ),
    Scaffold(
        "Vue CLI",
        "vue",
        "@vue/cli-service",
        HEADING,
        files={
            "package.json": project("vue-cli-service build", vue="^3", at__vue__cli_service="latest"),
            "public/index.html": '<!doctype html><title>Vue</title><div id="app"></div>',
            "src/main.js": "import { createApp, h } from 'vue';\n"
            f"createApp({{ render: () => h('h1', '{HEADING}') }}).mount('#app');\n",
        },
    ),
    Scaffold(
        "Stencil",
        "stencil",
        "@stencil/core",
        HEADING,
        files={
            "package.json": project("stencil build", at__stencil__core="latest"),
            "stencil.config.ts": "import { Config } from '@stencil/core';\nexport const config: Config = "
            "{ namespace: 'site', outputTargets: [{ type: 'www', serviceWorker: null }] };\n",
            "tsconfig.json": '{"compilerOptions": {"jsx": "react", "jsxFactory": "h", "experimentalDecorators": true, '
            '"moduleResolution": "bundler", "module": "esnext", "target": "es2017", "lib": ["dom", "es2017"], '
            '"skipLibCheck": true}, "include": ["src"]}',
            "src/index.html": '<!doctype html><title>Stencil</title><script type="module" src="/build/site.esm.js">'
            "</script><x-hello></x-hello>",
            "src/components/x-hello/x-hello.tsx": "import { Component, h } from '@stencil/core';\n"
            "@Component({ tag: 'x-hello' })\nexport class Hello { render() { return "
            f"<h1>{HEADING}</h1>; }} }}\n",
        },
    ),
    Scaffold(
        "Observable Framework",
        "observable",
        "@observablehq/framework",
        HEADING,
        files={
            "package.json": project("observable build", at__observablehq__framework="latest"),
            "observablehq.config.js": "export default { title: 'Site', globalStylesheets: [] };\n",
            "src/index.md": MARKDOWN,
        },
    ),
    Scaffold(
        "Slidev",
        None,
        "@slidev/cli",
        HEADING,
        files={
            "package.json": project("slidev build", at__slidev__cli="latest", at__slidev__theme_default="latest"),
            "slides.md": f"---\ntheme: default\nfonts:\n  provider: none\n---\n\n{MARKDOWN}",
        },
    ),
    Scaffold(
        "Hugo",
        "hugo",
        "hugo",
        HEADING,
        files={
            "hugo.toml": "title = 'Site'\nbaseURL = '/'\n",
            "layouts/index.html": "<!doctype html><title>{{ .Title }}</title>{{ .Content }}",
            "content/_index.md": f"---\ntitle: Home\n---\n{MARKDOWN}",
        },
    ),
    Scaffold(
        "MkDocs",
        "mkdocs",
        "mkdocs",
        HEADING,
        files={
            "mkdocs.yml": "site_name: Site\ntheme: readthedocs\n",
            "requirements.txt": "mkdocs\n",
            "docs/index.md": MARKDOWN,
        },
    ),
    Scaffold(
        "Sphinx",
        "sphinx",
        "sphinx",
        HEADING,
        files={
            "conf.py": "project = 'Site'\n",
            "requirements.txt": "sphinx\n",
            "index.rst": f"{HEADING}\n{'=' * len(HEADING)}\n\nText.\n",
        },
    ),
    Scaffold(
        "Pelican",
        "pelican",
        "pelican",
        HEADING,
        files={
            "pelicanconf.py": "AUTHOR = 'A'\nSITENAME = 'Site'\nPATH = 'content'\nTIMEZONE = 'UTC'\n",
            "requirements.txt": "pelican[markdown]\n",
            "content/hello.md": f"Title: {HEADING}\nDate: 2026-01-01\n\nText.\n",
        },
    ),
    Scaffold("Static files", None, "", HEADING, files={"index.html": HTML}),
)
