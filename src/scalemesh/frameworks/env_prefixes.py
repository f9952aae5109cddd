"""Which prefix lets a variable of the build into a page, by the slug of a preset (as Vercel's presets have it)."""

ENV_PREFIXES = {
    "astro": "PUBLIC_",
    "blitzjs": "NEXT_PUBLIC_",
    "create-react-app": "REACT_APP_",
    "gatsby": "GATSBY_",
    "hydrogen": "PUBLIC_",
    "nextjs": "NEXT_PUBLIC_",
    "nuxtjs": "NUXT_ENV_",
    "redwoodjs": "REDWOOD_ENV_",
    "solidstart": "VITE_",
    "solidstart-1": "VITE_",
    "sveltekit-1": "VITE_",
    "vite": "VITE_",
    "vue": "VUE_APP_",
}
