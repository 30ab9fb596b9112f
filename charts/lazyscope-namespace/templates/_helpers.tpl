{{- define "lazyscope.chart" -}}
{{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | quote }}
{{- end -}}
