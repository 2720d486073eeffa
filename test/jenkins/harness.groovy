// Runs Jenkinsfiles without Jenkins: groovy harness.groovy INPUT OUTPUT, both JSON.
//
// INPUT is a list of runs: {file, params, stdout: {text: answer}, status: {text: exit code}, abort: text}. A
// shell step whose script holds a text gets that answer or exit code (0 otherwise); one that holds `abort` is
// where somebody presses the button. OUTPUT has for each {result, events, displayName, error}.
//
// Sections know their directives and steps theirs, and nothing else: what Jenkins would refuse, or a
// directive at the wrong place, is an `error`.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.runtime.InvokerHelper

class Abort extends RuntimeException { }

class Failed extends RuntimeException {
    Failed(String message) { super(message) }
}

class Run {
    Map input
    List events = []
    List stages = []
    List creds = []
    int limits = 0
    String result = 'SUCCESS'
    Map env = [BUILD_NUMBER: '7', BUILD_URL: 'https://jenkins.example.com/job/seckill/7/']
    Map params = [:]
    Map currentBuild = [:]
    // What the file declares, by name.
    Map parameters = [:]

    void event(String kind, Map more = [:]) { events << ([kind: kind, stage: stages.join('/')] + more) }

    void worsen(String to) {
        List order = ['SUCCESS', 'FAILURE', 'ABORTED']
        if (order.indexOf(to) > order.indexOf(result)) { result = to }
    }
}

// A section of the file: what a closure may name is what its class has.
abstract class Section {
    Run run

    Map getParams() { run.params.asImmutable() }
    Map getEnv() { run.env }
    Map getCurrentBuild() { run.currentBuild }

    def into(Closure body, Object section) {
        body.delegate = section
        body.resolveStrategy = Closure.DELEGATE_ONLY
        body.call()
    }

    static void wrong(String what) { throw new IllegalStateException(what) }
}

class Label extends Section {
    void label(String name) { run.event('agent', [text: name]) }
}

class Options extends Section {
    void disableConcurrentBuilds() { run.event('option', [text: 'disableConcurrentBuilds']) }
    void timeout(Map m) { run.event('option', [text: "timeout ${m.time} ${m.unit}".toString()]) }
    void buildDiscarder(Object x) { run.event('option', [text: 'buildDiscarder']) }
    Map logRotator(Map m) { m }
    void timestamps() { run.event('option', [text: 'timestamps']) }
    void skipDefaultCheckout() { run.event('option', [text: 'skipDefaultCheckout']) }
}

class Parameters extends Section {
    void choice(Map m) { add(m.name, m.choices[0], m.choices) }
    void string(Map m) { add(m.name, m.defaultValue, null) }

    private void add(String name, String fallback, List choices) {
        String given = run.input.params?.get(name) ?: fallback
        if (choices && !(given in choices)) { wrong("$name may not be $given") }
        run.params[name] = given
        // Parameters are in the environment of the shell.
        run.env[name] = given
        run.event('parameter', [text: name])
    }
}

class Environment extends Section {
    void setProperty(String name, Object value) { run.env[name] = value }
}

class Condition extends Section {
    boolean met = true

    void expression(Closure c) { met = into(c, new Expression(run: run)) && met }
}

class Expression extends Section { }

class Post extends Section {
    Map bodies = [:]

    void always(Closure c) { bodies.always = c }
    void success(Closure c) { bodies.success = c }
    void failure(Closure c) { bodies.failure = c }
    void aborted(Closure c) { bodies.aborted = c }
    void unsuccessful(Closure c) { bodies.unsuccessful = c }
    void cleanup(Closure c) { bodies.cleanup = c }

    // In the order of Jenkins. A body that fails does not keep the others from running.
    void play(String result) {
        List due = ['always'] + (result == 'SUCCESS' ? ['success'] : [])
        if (result == 'ABORTED') { due << 'aborted' }
        if (result == 'FAILURE') { due << 'failure' }
        if (result != 'SUCCESS') { due << 'unsuccessful' }
        due << 'cleanup'
        due.findAll { bodies[it] }.each { String name ->
            run.event('post', [text: name])
            try {
                into(bodies[name], new Steps(run: run))
            } catch (Failed | Abort e) {
                run.worsen(e instanceof Abort ? 'ABORTED' : 'FAILURE')
            }
        }
    }
}

class Steps extends Section {
    Object getScm() { 'scm' }

    Object sh(String script) { sh([script: script]) }
    Object sh(GString script) { wrong("a shell step with a value of Groovy in it: $script") }
    Object sh(Map m) {
        if (m.script instanceof GString) { wrong("a shell step with a value of Groovy in it: ${m.script}") }
        String script = m.script
        run.event('sh', [text: script, creds: run.creds.flatten(), limited: run.limits > 0, env: [:] + run.env])
        if (run.input.abort && script.contains(run.input.abort)) { throw new Abort() }
        int code = run.input.status?.find { k, v -> script.contains(k) }?.value ?: 0
        if (m.returnStatus) { return code }
        if (code) { throw new Failed("exit code $code: $script") }
        m.returnStdout ? (run.input.stdout?.find { k, v -> script.contains(k) }?.value ?: '') + '\n' : null
    }

    void echo(String text) { run.event('echo', [text: text]) }
    void checkout(Object scm) { run.event('checkout') }
    void archiveArtifacts(Map m) { run.event('archiveArtifacts', [text: m.artifacts]) }
    void recordCoverage(Map m) { run.event('recordCoverage', [text: m.tools[0].pattern]) }
    void publishHTML(Map m) { run.event('publishHTML', [text: "${m.target.reportDir}/${m.target.reportFiles}".toString()]) }
    Object script(Closure c) { into(c, this) }

    Object timeout(Map m, Closure c) {
        run.limits++
        try {
            into(c, this)
        } finally {
            run.limits--
        }
    }

    Map file(Map m) { m }
    Map string(Map m) { m }
    Map usernamePassword(Map m) { m }

    Object withCredentials(List bindings, Closure c) {
        run.creds << bindings*.credentialsId*.toString()
        Map before = [:] + run.env
        bindings.each { b -> [b.variable, b.usernameVariable, b.passwordVariable].findAll().each { run.env[it] = '****' } }
        try {
            into(c, this)
        } finally {
            run.creds.pop()
            (run.env.keySet() - before.keySet() - ['OUTCOME', 'RELEASE']).each { run.env.remove(it) }
        }
    }
}

class Stages extends Section {
    void stage(String name, Closure c) {
        if (run.result != 'SUCCESS') {
            run.event('skipped', [text: name])
            return
        }
        run.stages << name
        Stage s = new Stage(run: run)
        into(c, s)
        s.play()
        run.stages.pop()
    }
}

class Stage extends Section {
    Closure condition, body, inner
    Post after

    void when(Closure c) { condition = c }
    void steps(Closure c) { once(); body = c }
    void stages(Closure c) { once(); inner = c }
    void post(Closure c) { after = new Post(run: run); into(c, after) }

    private void once() { if (body || inner) { wrong('a stage has steps or stages, once') } }

    void play() {
        if (!body && !inner) { wrong('a stage without steps') }
        if (condition) {
            Condition w = new Condition(run: run)
            into(condition, w)
            if (!w.met) {
                run.event('not due')
                return
            }
        }
        run.event('stage')
        try {
            inner ? into(inner, new Stages(run: run)) : into(body, new Steps(run: run))
        } catch (Abort e) {
            run.worsen('ABORTED')
        } catch (Failed e) {
            run.worsen('FAILURE')
        }
        after?.play(run.result)
    }
}

class Pipeline extends Section {
    Closure all
    Post after

    void agent(Closure c) { into(c, new Label(run: run)) }
    void options(Closure c) { into(c, new Options(run: run)) }
    void parameters(Closure c) { into(c, new Parameters(run: run)) }
    void environment(Closure c) { into(c, new Environment(run: run)) }
    void stages(Closure c) { all = c }
    void post(Closure c) { after = new Post(run: run); into(c, after) }
}

abstract class JenkinsfileScript extends Script {
    void pipeline(Closure c) {
        Run run = binding.getVariable('harness')
        Pipeline p = new Pipeline(run: run)
        p.into(c, p)
        if (!p.all) { Section.wrong('a pipeline without stages') }
        p.into(p.all, new Stages(run: run))
        p.after?.play(run.result)
    }
}

// Compiling takes longer than running.
Map<String, Class> compiled = [:]
CompilerConfiguration setup = new CompilerConfiguration()
setup.scriptBaseClass = JenkinsfileScript.name
GroovyClassLoader loader = new GroovyClassLoader(this.class.classLoader, setup)

List answers = new JsonSlurper().parse(new File(args[0])).collect { Map input ->
    Run run = new Run(input: input)
    String error = ''
    try {
        Class file = compiled[input.file] ?: loader.parseClass(new File(input.file))
        compiled[input.file] = file
        InvokerHelper.createScript(file, new Binding([harness: run])).run()
    } catch (Throwable e) {
        error = e.toString()
    }
    [result: run.result, events: run.events, displayName: run.currentBuild.displayName?.toString() ?: '', error: error]
}
new File(args[1]).text = JsonOutput.toJson(answers)
