"""Ordinary programs of Debian: how each is set up in a machine, and how a client uses it."""

from __future__ import annotations

from typing import NamedTuple

from integrations import machines

# A snakeoil certificate is there once a package needs it.
_CERTIFICATE = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
_KEY = "/etc/ssl/private/ssl-cert-snakeoil.key"


class Program(NamedTuple):
    """A program of Debian."""

    package: str
    unit: str
    use: str
    """A script of the shell that uses it once, and fails where there is no answer."""
    setup: str = ""
    """A script of the shell before its unit starts."""


def _talk(port: int, send: str, expect: str, host: str = "127.0.0.1") -> str:
    """Return a script that sends a line to a TCP port, and waits for a text."""
    return f"talk {host} {port} '{send}' '{expect}'"


def _file(path: str, text: str) -> str:
    return f"mkdir -p $(dirname {path})\ncat >{path} <<'END'\n{text}\nEND\n"


_UNIT = """[Service]
ExecStart={}
User=www-data
WorkingDirectory=/srv
"""
_TALK = '''#!/usr/bin/python3
"""talk HOST PORT SEND EXPECT"""
import socket, sys
host, port, send, expect = sys.argv[1:]
with socket.create_connection((host, int(port)), 5) as made:
    made.sendall(send.encode().decode("unicode_escape").encode("latin-1"))
    got = b""
    while expect.encode() not in got:
        more = made.recv(4096)
        assert more, got
        got += more
'''
_STUNNEL = f"""pid = /run/stunnel4/web.pid
[web]
accept = 127.0.0.1:8443
connect = 127.0.0.1:80
cert = {_CERTIFICATE}
key = {_KEY}"""
_NGINX = """server {
    listen 80 default_server;
    server_name _;
    root /var/www/html;
    keepalive_timeout 5s;
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
    location /app { proxy_pass http://127.0.0.1:8084; }
}"""
_NODE = 'require("http").createServer((q, r) => r.end("node\\n")).listen(8085, "127.0.0.1")'
_APP = 'def app(environ, start):\n    start("200 OK", [])\n    return [b"gunicorn\\n"]'
_HAPROXY = """
frontend web
    bind 127.0.0.1:8083
    mode http
    default_backend nginx
backend nginx
    mode http
    server one 127.0.0.1:80 check"""
_COLLECTD = """LoadPlugin cpu
LoadPlugin memory
LoadPlugin tcpconns
LoadPlugin unixsock
<Plugin unixsock>
    SocketFile "/run/collectd.sock"
</Plugin>"""
_STORAGE = """[storage]
driver = "vfs"
graphroot = "/run/podman-graph"
runroot = "/run/podman-run\""""
_DOCKER = '{"iptables": false, "bridge": "none", "storage-driver": "vfs"}'

PROGRAMS = (
    # The web.
    Program(
        "nginx-light",
        "nginx",
        "curl -fsS http://127.0.0.1/ http://127.0.0.1/x.php http://127.0.0.1/app",
        _file("/etc/nginx/sites-enabled/default", _NGINX)
        + _file("/var/www/html/x.php", '<?php echo "php\\n";')
        + "echo fine >/var/www/html/index.html",
    ),
    Program(
        "apache2",
        "apache2",
        "curl -fsSk http://127.0.0.1:8081/ https://127.0.0.1:8445/",
        "sed -i 's/Listen 80$/Listen 8081/; s/Listen 443$/Listen 8445/' /etc/apache2/ports.conf\n"
        "sed -i 's/:80>/:8081>/; s/:443>/:8445>/' /etc/apache2/sites-available/*.conf\n"
        "a2enmod -q ssl >/dev/null; a2ensite -q default-ssl >/dev/null",
    ),
    Program(
        "lighttpd",
        "lighttpd",
        "curl -fsS http://127.0.0.1:8082/",
        "sed -i 's/^server.port.*/server.port = 8082/' /etc/lighttpd/lighttpd.conf",
    ),
    Program(
        "haproxy",
        "haproxy",
        "curl -fsS http://127.0.0.1:8083/",
        f"cat >>/etc/haproxy/haproxy.cfg <<'END'{_HAPROXY}\nEND",
    ),
    Program("varnish", "varnish", "curl -sS http://127.0.0.1:6081/"),
    Program("squid", "squid", "curl -fsS -x http://127.0.0.1:3128 http://127.0.0.1/"),
    Program("tinyproxy-bin", "tinyproxy", "curl -fsS -x http://127.0.0.1:8888 http://127.0.0.1/"),
    Program("privoxy", "privoxy", "curl -fsS -x http://127.0.0.1:8118 http://127.0.0.1/"),
    Program(
        "stunnel4",
        "stunnel4",
        "curl -fsSk https://127.0.0.1:8443/",
        _file("/etc/stunnel/web.conf", _STUNNEL),
    ),
    Program("tor", "tor@default", _talk(9050, "\\5\\1\\0", "\x05")),
    Program(
        "vsftpd",
        "vsftpd",
        "curl -fsS ftp://127.0.0.1/",
        "sed -i 's/^anonymous_enable=.*/anonymous_enable=YES/' /etc/vsftpd.conf; mkdir -p /srv/ftp",
    ),
    Program("php8.2-fpm", "php8.2-fpm", "curl -fsS http://127.0.0.1/x.php"),
    Program(
        "gunicorn",
        "gunicorn",
        "curl -fsS http://127.0.0.1:8084/",
        _file("/srv/app.py", _APP)
        + _file(
            "/etc/systemd/system/gunicorn.service",
            _UNIT.format("/usr/bin/gunicorn --workers 3 --bind 127.0.0.1:8084 app:app"),
        ),
    ),
    Program(
        "nodejs",
        "node",
        "curl -fsS http://127.0.0.1:8085/",
        _file("/srv/app.js", _NODE)
        + _file("/etc/systemd/system/node.service", _UNIT.format("/usr/bin/node app.js")),
    ),
    Program("tomcat10", "tomcat10", "curl -sS http://127.0.0.1:8080/"),
    # Databases, caches and queues.
    Program(
        "postgresql-15",
        "postgresql",
        "cd /; runuser -u postgres -- psql -Atc 'select count(*) from pg_class'",
        "sed -i 's/scram-sha-256/trust/' /etc/postgresql/15/main/pg_hba.conf\n"
        "echo idle_session_timeout=20s >/etc/postgresql/15/main/conf.d/idle.conf",
    ),
    Program(
        "pgbouncer",
        "pgbouncer",
        "psql -h 127.0.0.1 -p 6432 -U postgres -Atc 'select 1' postgres",
        _file(
            "/etc/pgbouncer/pgbouncer.ini",
            "[databases]\npostgres = host=127.0.0.1 user=postgres\n[pgbouncer]\n"
            "listen_addr = 127.0.0.1\nlisten_port = 6432\nauth_type = any\n"
            "unix_socket_dir = /var/run/postgresql\npidfile = /var/run/postgresql/pgbouncer.pid\n"
            "logfile = /var/log/postgresql/pgbouncer.log",
        ),
    ),
    Program("mariadb-server", "mariadb", "mariadb -e 'select count(*) from mysql.user'"),
    Program("redis-server", "redis-server", "redis-cli set a b; redis-cli get a"),
    Program("memcached", "memcached", _talk(11211, "set a 0 9 1\\r\\nb\\r\\n", "STORED")),
    Program(
        "etcd-server",
        "etcd",
        """curl -fsS http://127.0.0.1:2379/v3/kv/put -d '{"key": "Zm9v", "value": "YmFy"}'""",
    ),
    Program("slapd", "slapd", "ldapsearch -x -H ldap://127.0.0.1 -b '' -s base"),
    Program("rabbitmq-server", "rabbitmq-server", _talk(5672, "AMQP\\0\\0\\11\\1", "RabbitMQ")),
    Program(
        "mosquitto",
        "mosquitto",
        "timeout 5 mosquitto_sub -t a -C 1 & sleep 0.2; mosquitto_pub -t a -m b; wait",
    ),
    Program("nats-server", "nats-server", _talk(4222, "CONNECT {}\\r\\nPING\\r\\n", "PONG")),
    Program("beanstalkd", "beanstalkd", _talk(11300, "stats\\r\\n", "OK")),
    Program("gearman-job-server", "gearman-job-server", _talk(4730, "status\\n", ".")),
    # Mail.
    Program(
        "postfix",
        "postfix@-",
        "printf 'Subject: x\\n\\nx\\n' | sendmail root; "
        + _talk(25, "EHLO x\\r\\nQUIT\\r\\n", "Bye"),
        "cp -n /usr/share/postfix/main.cf.debian /etc/postfix/main.cf\n"
        "postconf -e inet_interfaces=loopback-only smtpd_timeout=20s mydestination=localhost\n"
        "touch /etc/aliases; newaliases",
    ),
    Program("dovecot-imapd", "dovecot", _talk(143, "a LOGOUT\\r\\n", "BYE")),
    Program("rspamd", "rspamd", "curl -fsS http://127.0.0.1:11334/ping"),
    # Names and time.
    Program(
        "bind9",
        "named",
        "dig +time=2 @127.0.0.1 localhost",
        _file(
            "/etc/bind/named.conf.options",
            'options {\n directory "/var/cache/bind";\n listen-on { 127.0.0.1; };\n'
            " listen-on-v6 { none; };\n recursion yes;\n};",
        ),
    ),
    Program(
        "dnsmasq",
        "dnsmasq",
        "dig +short +time=2 @127.0.2.1 web.example | grep -q 192.0.2.1",
        _file(
            "/etc/dnsmasq.d/hunt.conf",
            "listen-address=127.0.2.1\nbind-interfaces\nno-resolv\naddress=/web.example/192.0.2.1",
        ),
    ),
    Program(
        "unbound",
        "unbound",
        "dig +short +time=2 @127.0.3.1 web.example | grep -q 192.0.2.1",
        _file(
            "/etc/unbound/unbound.conf.d/hunt.conf",
            'server:\n interface: 127.0.3.1\n local-zone: "example." static\n'
            ' local-data: "web.example. A 192.0.2.1"',
        ),
    ),
    Program("systemd-resolved", "systemd-resolved", "dig +time=2 @127.0.0.53 localhost"),
    Program("avahi-daemon", "avahi-daemon", "busctl --no-pager status org.freedesktop.Avahi"),
    Program(
        "chrony",
        "chrony",
        "chronyc -n tracking",
        "echo 'DAEMON_OPTS=\"-x -F 0\"' >/etc/default/chrony\n"
        + _file("/etc/systemd/system/chrony.service.d/hunt.conf", "[Unit]\nConditionCapability="),
    ),
    # The system.
    Program("systemd", "systemd-journald", "echo x | systemd-cat; journalctl -qn 1; loginctl"),
    Program("dbus", "dbus", "busctl --no-pager list"),
    Program("cron", "cron", "pgrep -x cron"),
    Program(
        "rsyslog",
        "rsyslog",
        "for i in 1 2 3; do logger -n 127.0.0.1 -d x; logger y; done",
        _file("/etc/rsyslog.d/udp.conf", 'module(load="imudp")\ninput(type="imudp" port="514")'),
    ),
    Program("openssh-server", "ssh", "ssh-keyscan -T 5 127.0.0.1"),
    Program("polkitd", "polkit", "pkaction"),
    Program("rpcbind", "rpcbind", "rpcinfo -p 127.0.0.1"),
    Program("cups-daemon", "cups", "curl -sS http://127.0.0.1:631/"),
    Program("samba", "smbd", "smbclient -N -L 127.0.0.1"),
    Program("snmpd", "snmpd", "snmpget -v2c -c public 127.0.0.1 .1.3.6.1.2.1.1.3.0"),
    Program("lldpd", "lldpd", "lldpcli show neighbors"),
    Program("fail2ban", "fail2ban", "fail2ban-client status", "touch /var/log/auth.log"),
    Program("freeradius", "freeradius", "pgrep -x freeradius"),
    Program(
        "openvpn",
        "openvpn-server@hunt",
        "pgrep -x openvpn",
        "openvpn --genkey secret /etc/openvpn/server/hunt.key\n"
        + _file(
            "/etc/openvpn/server/hunt.conf",
            "dev null\nproto udp\nport 1194\nsecret hunt.key\n"
            "allow-deprecated-insecure-static-crypto",
        ),
    ),
    # Monitoring.
    Program(
        "icinga2-bin",
        "icinga2",
        "curl -sSk https://127.0.0.1:5665/",
        # `api setup` keeps a copy of this file, which it cannot make from one layer to the other.
        "cp /etc/icinga2/constants.conf /srv; cp /srv/constants.conf /etc/icinga2\n"
        "echo >>/etc/icinga2/constants.conf; icinga2 api setup >/dev/null",
    ),
    Program(
        "nagios-nrpe-server", "nagios-nrpe-server", "echo | timeout 2 talk 127.0.0.1 5666 '' ''"
    ),
    Program("prometheus", "prometheus", "curl -fsS 'http://127.0.0.1:9090/api/v1/query?query=up'"),
    Program(
        "prometheus-alertmanager",
        "prometheus-alertmanager",
        "curl -fsS http://127.0.0.1:9093/api/v2/alerts",
    ),
    Program(
        "prometheus-blackbox-exporter",
        "prometheus-blackbox-exporter",
        "curl -fsS 'http://127.0.0.1:9115/probe?module=http_2xx&target=http://127.0.0.1/'",
    ),
    Program(
        "prometheus-node-exporter",
        "prometheus-node-exporter",
        "curl -fsS http://127.0.0.1:9100/metrics",
    ),
    Program(
        "zabbix-agent",
        "zabbix-agent",
        _talk(10050, "ZBXD\\1\\12\\0\\0\\0\\0\\0\\0\\0agent.ping", "1"),
    ),
    Program(
        "collectd-core",
        "collectd",
        "test -S /run/collectd.sock",
        _file("/etc/collectd/collectd.conf", _COLLECTD),
    ),
    Program("munin-node", "munin-node", _talk(4949, "list\\nquit\\n", "# munin")),
    # Containers.
    Program(
        "docker.io",
        "docker",
        "curl -fsS --unix-socket /run/docker.sock http://d/info",
        _file("/etc/docker/daemon.json", _DOCKER),
    ),
    Program("containerd", "containerd", "test -S /run/containerd/containerd.sock"),
    Program(
        "podman",
        "podman.socket",
        "curl -fsS --unix-socket /run/podman/podman.sock http://d/v4.0.0/libpod/_ping",
        _file("/etc/containers/storage.conf", _STORAGE),
    ),
    # Chat and media.
    Program(
        "icecast2",
        "icecast2",
        "curl -fsS http://127.0.0.1:8000/",
        "sed -i 's/^ENABLE=.*/ENABLE=true/' /etc/default/icecast2",
    ),
    Program("ngircd", "ngircd", _talk(6667, "NICK a\\r\\nUSER a a a a\\r\\n", "a")),
    Program("prosody", "prosody", _talk(5222, "<stream:stream>", "stream")),
    Program("transmission-daemon", "transmission-daemon", "curl -sS http://127.0.0.1:9091/"),
)

PACKAGES = (
    *machines.PACKAGES,
    *("apache2", "haproxy", "lighttpd", "nginx-light", "privoxy", "squid", "stunnel4"),
    *("tinyproxy", "tor", "varnish", "vsftpd"),
    *(
        "etcd-server",
        "mariadb-server",
        "memcached",
        "pgbouncer",
        "postgresql",
        "redis-server",
        "slapd",
    ),
    *("dovecot-imapd", "postfix", "rspamd"),
    *("bind9", "dnsmasq", "systemd-resolved", "unbound"),
    *(
        "avahi-daemon",
        "chrony",
        "cron",
        "cups-daemon",
        "fail2ban",
        "freeradius",
        "lldpd",
        "openssh-server",
    ),
    *("openvpn", "polkitd", "rpcbind", "rsyslog", "samba", "snmpd"),
    *("collectd-core", "icinga2", "munin-node", "nagios-nrpe-server", "prometheus"),
    *(
        "prometheus-alertmanager",
        "prometheus-blackbox-exporter",
        "prometheus-node-exporter",
        "zabbix-agent",
    ),
    *("docker.io", "podman"),
    *("beanstalkd", "gearman-job-server", "mosquitto", "nats-server", "rabbitmq-server"),
    *("gunicorn", "nodejs", "php-fpm", "tomcat10"),
    *("icecast2", "ngircd", "prosody", "transmission-daemon"),
    # Their clients.
    *(
        "bind9-dnsutils",
        "curl",
        "ldap-utils",
        "mosquitto-clients",
        "redis-tools",
        "smbclient",
        "snmp",
    ),
)

SETUP = f"cat >/usr/local/bin/talk <<'END'\n{_TALK}END\nchmod 755 /usr/local/bin/talk\n"
