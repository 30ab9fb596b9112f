/** `/up` reads the whole body and then forwards it. The response has 8 MiB. */
export const nginxConfiguration = ({
  folder,
  port,
  inner,
}: {
  folder: string;
  port: number;
  inner: number;
}) => `
daemon off; user root; pid nginx.pid; error_log stderr crit; worker_processes 1;
events {}
http {
  access_log off; client_max_body_size 16m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:${port}; root ${folder}; location /up { proxy_pass http://127.0.0.1:${inner}/big; proxy_method GET; } }
  server { listen 127.0.0.1:${inner}; root ${folder}; }
}`;
