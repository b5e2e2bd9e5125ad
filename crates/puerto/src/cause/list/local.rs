//! Users of this machine: who is meant by an address.

/// Adds these to those before, and hands all to the next list.
macro_rules! local {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => {
        $next! {
            [$($rest)*]
            $($before)*

            // Local delivery.
            ForwardUnheeded { user: String, why: Spoken } = "local.forward-unheeded"
                ["the .forward of {user} is not heeded: {why}",
                 "no se hace caso del .forward de {user}: {why}"];
            InForward { user: String, what: Spoken } = "local.in-forward"
                ["in the .forward of {user}: {what}",
                 "en el .forward de {user}: {what}"];
            ToMailbox {} = "local.to-mailbox"
                ["delivered to mailbox",
                 "entregado en el buzón"];
            ToMaildir {} = "local.to-maildir"
                ["delivered to maildir",
                 "entregado en el Maildir"];
            Delivered {} = "local.delivered"
                ["delivered",
                 "entregado"];
            WithOthers {} = "local.with-others"
                ["delivered with the message's other recipients",
                 "entregado junto con los demás destinatarios del mensaje"];
            Forwarded { id: String } = "local.forwarded"
                ["forwarded as {id}",
                 "reenviado como {id}"];
            ThrownAway { alias: String } = "local.thrown-away"
                ["thrown away, as the alias `{alias}` says",
                 "descartado, como dice el alias `{alias}`"];
            ForwardedNowhere {} = "local.forwarded-nowhere"
                ["thrown away, as the user's .forward says",
                 "descartado, como dice el .forward del usuario"];
            Together { first: Box<Cause>, then: Box<Cause> } = "local.together"
                ["{first}, {then}",
                 "{first}, {then}"];
            NoSuchUser { user: String } = "local.no-such-user"
                ["there is no user `{user}`",
                 "no existe el usuario `{user}`"]
                => "puerto.no-user";
            BadUserName { user: String, error: AddressError } = "local.bad-user-name"
                ["the user `{user}`: {error}",
                 "el usuario `{user}`: {error}"]
                => "puerto.no-user";
            UsersUnknown { error: SystemError } = "local.users-unknown"
                ["cannot look up users: {error}",
                 "no se puede consultar a los usuarios: {error}"]
                => "puerto.local";
            ForwardingLoop { address: String } = "local.forwarding-loop"
                ["mail forwarding loop: it was delivered to {address} before",
                 "bucle de reenvío: ya se entregó antes a {address}"]
                => "postfix.queue-hops";
            InternalError {} = "local.internal-error"
                ["internal error, it is tried again",
                 "error interno, se volverá a intentar"];

            // Aliases.
            InAliases { why: Box<Cause> } = "aliases.why"
                ["in the aliases file: {why}",
                 "en el fichero de alias: {why}"];
            AliasCircle {} = "aliases.circle"
                ["in the aliases or in [virtual], this name leads in a circle",
                 "en los alias o en [virtual], este nombre lleva en círculo"]
                => "puerto.aliases";
            AliasesWithoutEnd { depth: u64, targets: u64 } = "aliases.without-end"
                ["aliases lead on and on: more than {depth} deep or {targets}",
                 "los alias llevan de uno a otro sin fin: más de {depth} niveles o {targets}"];
            EntryBroken { file: String, line: u64 } = "virtual.entry-broken"
                ["line {line} of {file} cannot be understood, so this mail waits until it is mended: \
                  `newaliases` says what is wrong",
                 "no se entiende la línea {line} de {file}, y este correo espera a que se corrija: \
                  `newaliases` dice qué le pasa"];
            AliasesUnsaid {} = "aliases.unsaid"
                ["whom it means cannot be told until the aliases of this server are mended: \
                  `newaliases` says which line",
                 "no se sabe a quién nombra hasta que se corrijan los alias de este servidor: \
                  `newaliases` dice qué línea"];
            ListUnread { list: String, error: SystemError } = "aliases.list-unread"
                ["the list {list} cannot be read: {error}",
                 "no se puede leer la lista {list}: {error}"];
            Target { target: String, why: Box<Cause> } = "aliases.target"
                ["`{target}`: {why}",
                 "`{target}`: {why}"];
            ProgramTarget {} = "aliases.program"
                ["mail is handed to a program only where `local.allow_commands` says so",
                 "el correo solo se entrega a un programa donde lo dice `local.allow_commands`"];
            FileTarget {} = "aliases.file"
                ["mail is appended to a file only where `local.allow_files` says so",
                 "el correo solo se añade a un fichero donde lo dice `local.allow_files`"];
            NamedByAnybody {} = "aliases.named-by-anybody"
                ["everybody may write the file that names a command or a file: `chmod o-w` it",
                 "cualquiera puede escribir en el fichero que nombra una orden o un fichero: ejecute \
                  `chmod o-w` con él"];
            OwnerUnknown { uid: u64 } = "aliases.owner-unknown"
                ["the file that names it belongs to uid {uid}, which is no user",
                 "el fichero que lo nombra es del uid {uid}, que no es de ningún usuario"];
            OwnerIsService { user: String } = "aliases.owner-is-service"
                ["nothing is run as {user}, whose is everybody's mail: give the file that names it to \
                  root, or set `local.default_user`",
                 "nada se ejecuta como {user}, que tiene el correo de todos: dé a root el fichero que lo \
                  nombra, o ponga otro `local.default_user`"];
            NeverAsRoot {} = "aliases.never-as-root"
                ["nothing that mail is handed to is run as root: set `local.default_user`",
                 "nada de lo que recibe correo se ejecuta como root: ponga otro `local.default_user`"];
            SecretTooShort {} = "srs.secret-too-short"
                ["a secret needs at least 16 characters",
                 "un secreto necesita al menos 16 caracteres"];
            ForwardTooLong {} = "forward.too-long"
                ["the .forward and its lists are longer than 64 KiB",
                 "el .forward y sus listas pasan de 64 KiB"];
            ToCommand { command: String } = "local.to-command"
                ["delivered to command: {command}",
                 "entregado a la orden: {command}"];
            ToFile { path: String } = "local.to-file"
                ["delivered to file: {path}",
                 "entregado al fichero: {path}"];
            CommandNotStarted { error: SystemError } = "command.not-started"
                ["no command can be started: {error}",
                 "no se puede iniciar ninguna orden: {error}"]
                => "puerto.local";
            CommandFailed { command: String, code: u64 } = "command.failed"
                ["the command `{command}` ended with exit code {code}",
                 "la orden `{command}` terminó con el código {code}"];
            CommandSaid { command: String, code: u64, output: String } = "command.said"
                ["the command `{command}` ended with exit code {code}: {output}",
                 "la orden `{command}` terminó con el código {code}: {output}"];
            CommandKilled { command: String, signal: u64 } = "command.killed"
                ["the command `{command}` was ended by signal {signal}",
                 "la orden `{command}` terminó por la señal {signal}"];
            CommandTooSlow { command: String, seconds: u64 } = "command.too-slow"
                ["the command `{command}` was ended, since it took more than {seconds} seconds",
                 "se terminó la orden `{command}`, que pasó de {seconds} segundos"];
            HalfList {} = "aliases.half-list"
                ["write `:include:` and the whole path of a file",
                 "escriba `:include:` y la ruta completa de un fichero"];
            BadAddress { error: AddressError } = "aliases.bad-address"
                ["{error}",
                 "{error}"];
            NoTarget {} = "aliases.no-target"
                ["this is neither a user nor an address: write `name: user, other@example.com`",
                 "no es ni un usuario ni una dirección: escriba `nombre: usuario, otro@example.com`"];
            Several { causes: Vec<Cause> } = "aliases.several"
                ["{causes}",
                 "{causes}"];
            OthersHaveIt { of: Box<Cause> } = "aliases.others-have-it"
                ["{of}; its other targets have it",
                 "{of}; sus otros destinos lo tienen"];

            // Whether somebody exists.
            NobodyToAsk {} = "recipients.nobody-to-ask"
                ["nobody can be asked about it",
                 "no hay a quién preguntar por ella"];
            HostNotAsked { host: String } = "recipients.host-not-asked"
                ["{host} cannot be asked about it",
                 "no se puede preguntar por ella a {host}"];
            HostUnwilling { host: String } = "recipients.host-unwilling"
                ["{host} does not let us in to ask about it",
                 "{host} no nos deja entrar a preguntar por ella"];
            NoAnswer {} = "recipients.no-answer"
                ["whoever has its mailbox did not answer in time",
                 "quien tiene su buzón no respondió a tiempo"];
        }
    };
}
