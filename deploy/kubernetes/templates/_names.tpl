{{- define "scalemesh.labels" -}}
app.kubernetes.io/name: scalemesh
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "scalemesh.pod" -}}
automountServiceAccountToken: {{ eq .part "dispatcher" }}
enableServiceLinks: false
terminationGracePeriodSeconds: 30
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "scalemesh.labels" . | nindent 8 }}
{{- end }}

{{- define "scalemesh.container" -}}
image: {{ required "image: the image of deploy/images/scalemesh" .root.Values.image }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ .root.Release.Name }}}
  - secretRef: {name: {{ ternary .root.Values.secrets.edge .root.Values.secrets.platform (eq .part "edge") }}}
volumeMounts:
  - {name: data, mountPath: /var/lib/scalemesh}
  - {name: tmp, mountPath: /tmp}
{{- end }}
