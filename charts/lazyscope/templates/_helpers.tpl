{{- define "lazyscope.chart" -}}
{{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | quote }}
{{- end -}}

{{- define "lazyscope.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else if .tag -}}
{{ .repository }}:{{ .tag }}
{{- else -}}
{{ fail (printf "the image %s has neither a tag nor a digest; set one of them" .repository) }}
{{- end -}}
{{- end -}}
