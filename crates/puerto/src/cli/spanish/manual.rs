//! Manual pages in Spanish: the words that the generator writes of its own.

/// One page, whose help is Spanish already.
pub(in crate::cli) fn in_spanish(page: &str) -> String {
    let lines = page.lines().map(|line| match line {
        ".SH NAME" => ".SH NOMBRE",
        ".SH SYNOPSIS" => ".SH SINOPSIS",
        ".SH DESCRIPTION" => ".SH DESCRIPCIÓN",
        ".SH OPTIONS" => ".SH OPCIONES",
        ".SH SUBCOMMANDS" => ".SH ÓRDENES",
        ".SH EXTRA" => ".SH ADEMÁS",
        ".SH VERSION" => ".SH VERSIÓN",
        line => line,
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
